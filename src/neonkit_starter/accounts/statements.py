"""The statements that move money, as SQL: each is a whole unit of work.

Each decides by what it reads itself, and writes both sides or nothing. It answers with one row,
whose `refusal` says why nothing was written. Nobody else's account is locked, or told of, before
the statement has seen that the caller may pay and can pay.
"""

from sqlalchemy import DateTime, Integer, Numeric, String

from neonkit.db import sql_statement

_MONEY = Numeric(17, 2)

TRANSFER = sql_statement(
    """
    WITH payer AS (
      -- the paying account as this statement's snapshot shows it
      SELECT id, owner_id, status, balance FROM accounts WHERE id = :payer
    ),
    locked AS (
      -- both accounts, if the payer's owner calls and could pay; in the order of their ids, so that
      -- two transfers never wait for each other in a circle
      SELECT id, currency, balance, version, status
      FROM accounts
      WHERE id IN (:payer, :payee) AND EXISTS (
        SELECT FROM payer WHERE owner_id = :caller AND status = 'open' AND balance >= :amount
      )
      ORDER BY id FOR NO KEY UPDATE
    ),
    verdict AS (
      -- what concerns the caller's own account comes first: for a payer who cannot pay, the answer
      -- tells nothing of the payee but that it exists
      SELECT CASE
        WHEN payer.id IS NULL OR NOT EXISTS (SELECT FROM accounts WHERE id = :payee)
          THEN 'not-found'
        WHEN payer.owner_id <> :caller
          THEN CASE WHEN :is_admin THEN 'forbidden' ELSE 'not-found' END
        WHEN 'closed' IN (payer.status, paying.status) THEN 'account-closed'
        WHEN paying.id IS NULL OR paying.balance < :amount THEN 'insufficient-funds'
        WHEN receiving.status = 'closed' THEN 'account-closed'
        WHEN receiving.currency <> paying.currency THEN 'currency-mismatch'
        WHEN receiving.balance + :amount > :most THEN 'balance-limit'
      END AS refusal
      FROM (SELECT) AS always
      LEFT JOIN payer ON true
      LEFT JOIN locked AS paying ON paying.id = :payer
      LEFT JOIN locked AS receiving ON receiving.id = :payee
    ),
    made AS (
      INSERT INTO transfers (from_account_id, to_account_id, amount, caller_id, key)
      SELECT :payer, :payee, :amount, :caller, :key FROM verdict WHERE refusal IS NULL
      RETURNING id, from_account_id, to_account_id, amount, created_at
    ),
    booked AS (
      -- one entry that pays and one that receives, each the next of its account
      INSERT INTO entries (account_id, version, transfer_id, amount, balance_before, balance_after)
      SELECT locked.id, version + 1, made.id, signed.amount, balance, balance + signed.amount
      FROM made, locked, LATERAL (
        SELECT CASE locked.id WHEN from_account_id THEN -made.amount ELSE made.amount END AS amount
      ) AS signed
      RETURNING account_id, version, balance_after
    ),
    changed AS (
      UPDATE accounts SET balance = balance_after, version = booked.version
      FROM booked WHERE accounts.id = account_id
    )
    SELECT refusal, id, from_account_id, to_account_id, amount, created_at
    FROM verdict LEFT JOIN made ON true
    """,
    refusal=String,
    id=Integer,
    from_account_id=Integer,
    to_account_id=Integer,
    amount=_MONEY,
    created_at=DateTime(timezone=True),
)
"""Parameters: payer, payee, caller, is_admin, amount, most, key."""

DEPOSIT = sql_statement(
    """
    WITH locked AS (
      SELECT id, balance, version, status FROM accounts WHERE id = :account FOR NO KEY UPDATE
    ),
    verdict AS (
      SELECT CASE
        WHEN id IS NULL THEN 'not-found'
        WHEN status = 'closed' THEN 'account-closed'
        WHEN balance + :amount > :most THEN 'balance-limit'
      END AS refusal
      FROM (SELECT) AS always LEFT JOIN locked ON true
    ),
    booked AS (
      -- money from outside: an entry without a transfer
      INSERT INTO entries (account_id, version, amount, balance_before, balance_after)
      SELECT id, version + 1, :amount, balance, balance + :amount
      FROM locked, verdict WHERE refusal IS NULL
      RETURNING id, account_id, amount, created_at, version, balance_after
    ),
    changed AS (
      UPDATE accounts SET balance = balance_after, version = booked.version
      FROM booked WHERE accounts.id = account_id
    )
    SELECT refusal, id, account_id, amount, created_at
    FROM verdict LEFT JOIN booked ON true
    """,
    refusal=String,
    id=Integer,
    account_id=Integer,
    amount=_MONEY,
    created_at=DateTime(timezone=True),
)
"""Parameters: account, amount, most."""

CLOSE = sql_statement(
    """
    WITH account AS (
      -- as this statement's snapshot shows it
      SELECT id, owner_id FROM accounts WHERE id = :account
    ),
    locked AS (
      -- the caller's own
      SELECT id, balance, version, status FROM accounts
      WHERE id = :account AND owner_id = :caller FOR NO KEY UPDATE
    ),
    verdict AS (
      SELECT CASE
        WHEN account.id IS NULL THEN 'not-found'
        WHEN account.owner_id <> :caller
          THEN CASE WHEN :is_admin THEN 'forbidden' ELSE 'not-found' END
        WHEN concat(locked.version, '-', locked.status) <> ALL (CAST(:tags AS text[]))
          THEN 'stale-version'
        WHEN locked.balance <> 0 THEN 'balance-not-zero'
      END AS refusal
      FROM (SELECT) AS always LEFT JOIN account ON true LEFT JOIN locked ON true
    ),
    closed AS (
      UPDATE accounts SET status = 'closed'
      FROM verdict WHERE accounts.id = :account AND refusal IS NULL
      RETURNING id, owner_id, currency, balance, version, status,
        concat(version, '-', status) AS etag
    )
    SELECT refusal, id, owner_id, currency, balance, version, status, etag
    FROM verdict LEFT JOIN closed ON true
    """,
    refusal=String,
    id=Integer,
    owner_id=Integer,
    currency=String,
    balance=_MONEY,
    version=Integer,
    status=String,
    etag=String,
)
"""Parameters: account, caller, is_admin, tags (NULL for any). Closing it again changes nothing."""
