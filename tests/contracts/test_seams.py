"""The inside of other packages is where our tables say, and we touch it nowhere else."""

import ast
import dis
import inspect
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, TypeGuard

import pytest

from neonkit._seams.record import ATTRIBUTE, LITERAL, Seam

SOURCES = Path(__file__).parents[2] / "src"
OURS = ("neonkit", "neonkit_starter")
SEAMS = SOURCES / "neonkit" / "_seams"
PACKAGES = sorted(path.stem for path in SEAMS.glob("[!_]*.py") if path.stem != "record")
DOCUMENTED = {"_asdict", "_exit", "_fields", "_getframe", "_make", "_replace"}  # Python's own


def _tables() -> Iterator[Any]:
    for package in PACKAGES:
        try:
            seams: tuple[Seam, ...] = import_module(f"neonkit._seams.{package}").SEAMS
        except ImportError as error:
            yield pytest.param(Seam(package, "", "", str(error)), id=f"{package}: {error}")
            continue
        for seam in seams:
            yield pytest.param(seam, id=f"{seam.owner}.{seam.name}")


@pytest.mark.parametrize("seam", list(_tables()))
def test_a_seam_is_there(seam: Seam) -> None:
    """The installed package has the name that we rely on, with the parameters that we rely on."""
    assert seam.name, f"the seams of {seam.owner} cannot be imported: {seam.breaks}"
    try:
        owner = resolve_name(seam.owner)
    except (AttributeError, ImportError) as error:
        pytest.fail(f"{seam.owner} is gone ({error}): {seam.breaks}")
    if seam.form == LITERAL:
        found = _holds(owner, seam.name)
    elif seam.form == ATTRIBUTE:
        found = hasattr(owner, seam.name) or (inspect.isclass(owner) and _has(owner, seam.name))
    else:
        assert _form_of(owner, seam.name) == seam.form, seam.breaks
        return
    assert found, f"{seam.owner} has no {seam.name}: {seam.breaks}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_of_seams_names_its_own_package(package: str) -> None:
    """`_seams/asyncpg.py` imports asyncpg at most, so that who may import it may name asyncpg."""
    imported = {
        name.partition(".")[0]
        for name in _imports(ast.parse((SEAMS / f"{package}.py").read_text()))
        if name != "neonkit._seams.record"
    }

    assert imported - sys.stdlib_module_names <= {package}


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(path, id=name)
        for path in sorted(SOURCES.rglob("*.py"))
        if SEAMS not in path.parents
        for name in (path.relative_to(SOURCES).as_posix(),)
    ],
)
def test_nothing_private_of_others_is_touched_outside_of_the_seams(file: Path) -> None:
    """Neither an import nor an attribute has a private name of another package's."""
    tree = ast.parse(file.read_text())
    imported = [name for name in _imports(tree) if not name.startswith(OURS) and "._" in name]
    defined = {name for each in ast.walk(tree) for name in _defined_by(each)}
    touched = [
        f"{ast.unparse(each)} (line {each.lineno})"
        for each in ast.walk(tree)
        if isinstance(each, ast.Attribute)
        and _is_private(each.attr)
        and not _is_own(each.value)
        and each.attr not in DOCUMENTED | defined
    ]

    assert imported + touched == []


def test_every_private_name_of_a_foreign_base_is_listed() -> None:
    """What a subclass of ours overrides, or uses of itself, and a foreign base owns, is a seam."""
    listed = {
        (owner, seam.name)
        for package in PACKAGES
        for seam in import_module(f"neonkit._seams.{package}").SEAMS
        if inspect.isclass(owner := resolve_name(seam.owner))
    }
    missing = [
        f"{ours.__qualname__}.{name}: {base.__module__}.{base.__qualname__} has that name too"
        for ours, names in _subclasses()
        for name in sorted(names)
        if (base := _owner_of(ours, name)) is not None
        and not any((each, name) in listed for each in ours.__mro__)
    ]

    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_with_seams_has_an_upper_bound(package: str) -> None:
    """A release that nobody has looked into is not installed beside ours."""
    project = tomllib.loads((SOURCES.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    named = [*project["dependencies"], *(each for extra in extras for each in extra)]
    bounds = [each for each in named if re.match(rf"{package}\b(?!-)", each)]

    assert len(bounds) == 1
    assert "<" in bounds[0]


def _form_of(owner: Any, name: str) -> str:  # noqa: ANN401  # a module or a class
    function = inspect.getattr_static(owner, name, None)
    if function is None:
        return "gone"
    function = inspect.unwrap(getattr(function, "__func__", function))
    signature = inspect.signature(function)
    bare = [
        each.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty)
        for each in signature.parameters.values()
    ]
    text = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return f"async {text}" if inspect.iscoroutinefunction(function) else text


def _holds(module: ModuleType, text: str) -> bool:
    """Whether the code of a module, or any file of a package, holds a text."""
    file = Path(module.__file__ or "")
    files = file.parent.iterdir() if hasattr(module, "__path__") else [file]
    return any(text.encode() in each.read_bytes() for each in files if each.is_file())


def _imports(tree: ast.Module) -> Iterator[str]:
    for each in ast.walk(tree):
        if isinstance(each, ast.Import):
            yield from (name.name for name in each.names)
        elif isinstance(each, ast.ImportFrom) and each.module:
            is_module = each.module.startswith("neonkit._seams")
            names = [each.module] if is_module else [f"{each.module}.{n.name}" for n in each.names]
            yield from names


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_own(value: ast.expr) -> bool:
    """Whether an attribute is read of `self`, `cls` or `super()`: those the tables know."""
    if isinstance(value, ast.Call):
        value = value.func
    return isinstance(value, ast.Name) and value.id in {"self", "cls", "super"}


def _defined_by(node: ast.AST) -> Iterator[str]:
    """The attributes that a class statement gives to its instances."""
    if not _is_class(node):
        return
    for each in node.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield each.name
        yield from (part.id for part in _targets(each) if isinstance(part, ast.Name))
    for inside in ast.walk(node):
        yield from (part.attr for part in _targets(inside) if _is_of_itself(part))


def _targets(node: ast.AST) -> Iterator[Any]:
    """What a statement assigns to, or declares."""
    targets: Iterable[ast.expr] = ()
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    for target in targets:
        yield from ast.walk(target)


def _subclasses() -> Iterator[tuple[type, set[str]]]:
    """Our classes with a foreign base, and the private names that each of them speaks of."""
    for path in sorted(SOURCES.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
        for node in filter(_is_class, ast.parse(path.read_text()).body):
            ours = getattr(import_module(name), node.name)
            if any(map(_is_foreign, ours.__mro__)):
                used = {each.attr for each in ast.walk(node) if _is_of_itself(each)}
                yield ours, set(filter(_is_private, {*_defined_by(node), *used}))


def _is_class(node: ast.AST) -> TypeGuard[ast.ClassDef]:
    return isinstance(node, ast.ClassDef)


def _is_of_itself(node: ast.AST) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and _is_own(node.value)


def _is_foreign(kind: type) -> bool:
    package = kind.__module__.partition(".")[0]
    return package not in OURS and package not in sys.stdlib_module_names


def _owner_of(ours: type, name: str) -> type | None:
    return next((b for b in ours.__mro__ if _is_foreign(b) and name in _attributes(b)), None)


def _has(kind: type, name: str) -> bool:
    return any(name in _attributes(base) for base in kind.__mro__ if base is not object)


@cache
def _attributes(kind: type) -> set[str]:
    """The names that a class has, declares, or gives to its instances."""
    slots = kind.__dict__.get("__slots__", ())
    names = {*vars(kind), *inspect.get_annotations(kind)}
    names |= {slots} if isinstance(slots, str) else set(slots)
    functions = (inspect.unwrap(getattr(each, "__func__", each)) for each in vars(kind).values())
    codes = (each.__code__ for each in functions if inspect.isfunction(each))
    steps = (step for code in codes for step in dis.get_instructions(code))
    return names | {step.argval for step in steps if step.opname == "STORE_ATTR"}
