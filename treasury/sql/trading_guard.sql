-- The guard of value_guard.sql, which asks first for what is no trading at all: a share of desks posts 150 lines a bar under
-- the fund's posting lock, and the sums of each Book are all that has to be known of them.
CREATE OR REPLACE FUNCTION public.treasury_guard_lines() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own bigint[];
    bad record;
BEGIN
    EXECUTE $q$
        SELECT array_agg(a.id) FROM (SELECT DISTINCT account_id FROM new_lines) l
          JOIN public.treasury_ledgeraccount a ON a.id = l.account_id
          JOIN public.treasury_book b ON b.id = a.book_id
          LEFT JOIN public.treasury_book p ON p.id = b.parent_id
         WHERE b.kind <> 'cohort' AND p.kind IS DISTINCT FROM 'cohort' $q$  -- treasury_is_paper, set-wise
       INTO own;
    IF own IS NULL OR public.compliance_executing_any(public.treasury_value_kinds()) THEN
        RETURN NULL;
    END IF;
    PERFORM FROM new_lines l
       JOIN public.treasury_journalentry e ON e.id = l.entry_id
       JOIN public.treasury_ledgeraccount a ON a.id = l.account_id
       JOIN public.treasury_book b ON b.id = a.book_id
      WHERE l.account_id = ANY (own)
      GROUP BY l.entry_id, e.kind, b.id, b.kind, l.asset_id
     HAVING e.kind NOT IN ('fill', 'fee', 'funding', 'liquidation') OR b.kind IN ('fund', 'strategy')
         OR sum(l.amount) <> 0
      LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- What trading does by itself: fills, fees, funding and liquidations, on the Books that trade, each Book balanced by
    -- itself in the statement; and cash that goes home: what one of the fund's own Books loses, one above it gains, in
    -- the same statement.
    WITH moved AS (
        SELECT l.entry_id, e.kind, l.asset_id, l.amount, a.kind IN ('cash', 'position') AS equity,
               a.id = ANY (own) AS own, b.id AS book_id, b.path, b.kind AS book_kind,
               sum(l.amount) OVER (PARTITION BY l.entry_id, b.id, l.asset_id) AS of_book,
               sum(l.amount) FILTER (WHERE a.kind IN ('cash', 'position')) OVER (PARTITION BY l.entry_id, l.asset_id)
                   AS of_equity
          FROM new_lines l
          JOIN public.treasury_journalentry e ON e.id = l.entry_id
          JOIN public.treasury_ledgeraccount a ON a.id = l.account_id
          JOIN public.treasury_book b ON b.id = a.book_id
         WHERE l.entry_id IN (SELECT n.entry_id FROM new_lines n WHERE n.account_id = ANY (own)))
    SELECT m.path, m.kind INTO bad
      FROM moved m
     WHERE m.own
       AND NOT (m.kind IN ('fill', 'fee', 'funding', 'liquidation') AND m.book_kind NOT IN ('fund', 'strategy')
                AND m.of_book = 0)
       AND NOT (m.kind = 'release'
                AND coalesce(m.of_equity, 0) = 0
                AND NOT EXISTS (
                    SELECT FROM moved gain
                     WHERE gain.entry_id = m.entry_id AND gain.equity AND gain.amount > 0
                       AND EXISTS (SELECT FROM moved loss
                                    WHERE loss.entry_id = gain.entry_id AND loss.equity AND loss.amount < 0
                                      AND loss.asset_id = gain.asset_id
                                      AND NOT (loss.own AND public.treasury_is_home(
                                                loss.book_id, loss.path, gain.book_id, gain.path)))))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'An entry of kind % on % is posted by an approved request alone.', bad.kind, bad.path
            USING ERRCODE = '23A09', HINT = 'Propose it; it is posted once it is signed and released.';
    END IF;
    RETURN NULL;
END
$$;
