"""An issuer on this machine: it publishes keys, and signs with them."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

import jwt

from support.needed import need


def _private_key(algorithm: str) -> Any:  # noqa: ANN401  # of a package that may be missing
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


class Issuing:
    """An issuer.

    Attributes:
        origin: its address.
        published: by path, what it answers: a document, or bytes as they are.
        asked: how often for each path.
    """

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.published: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        self.keys: dict[str, tuple[str, Any]] = {}

    def add_key(self, kid: str, algorithm: str, path: str, **changes: object) -> None:
        """Make a key, and publish it among those of a path."""
        private = _private_key(algorithm)
        self.keys[kid] = algorithm, private
        maker = jwt.get_algorithm_by_name(algorithm)
        public = maker.to_jwk(private.public_key(), as_dict=True)
        key = {**public, "kid": kid, "use": "sig", "alg": algorithm, **changes}
        self.published.setdefault(path, {"keys": []})["keys"].append(key)

    def claims(self, **changes: object) -> dict[str, object]:
        """Claims that are right, with some changed."""
        now = int(time.time())
        right: dict[str, object] = {
            "iss": self.origin,
            "aud": self.origin,
            "sub": "b7c1",
            "iat": now,
            "exp": now + 900,
        }
        return right | changes

    def token(self, kid: str, **changes: object) -> str:
        """Sign claims by a key."""
        algorithm, private = self.keys[kid]
        return jwt.encode(self.claims(**changes), private, algorithm, headers={"kid": kid})


@contextmanager
def issuing() -> Iterator[Issuing]:
    """Run one for the block."""
    is_there = find_spec("cryptography") is not None
    need("the package cryptography", "pip install 'neonkit[issuers]'", is_there=is_there)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that it is called by
            issuer.asked[self.path] += 1
            answer = issuer.published.get(self.path)
            if isinstance(answer, str):
                self.send_response(302)
                self.send_header("Location", answer)
                self.end_headers()
                return
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002  # its name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuing(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
