"""The bare transfer as one statement, written once for those who send it as one."""

TRANSFER = """
WITH locked AS MATERIALIZED (
  SELECT id, balance FROM account WHERE id IN ({payer}, {payee}) ORDER BY id FOR NO KEY UPDATE
), verdict AS (
  SELECT count(*) = 2 AND bool_or(id = {payer} AND balance >= {amount}) AS is_good FROM locked
), changed AS (
  UPDATE account
  SET balance = locked.balance + CASE account.id WHEN {payer} THEN -{amount} ELSE {amount} END
  FROM locked, verdict WHERE account.id = locked.id AND is_good
)
SELECT is_good FROM verdict
"""
