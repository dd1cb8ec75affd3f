-- What of the books only the gate may write. Paper is a cohort's Book and the agents' Books right below it: what the
-- machine posts there moves no value of the fund. Everywhere else value is moved by an approved request, but for what
-- trading itself does on the Books that trade.

-- The kinds of request whose execution may move value by hand; a later migration may replace the list by a longer one.
CREATE FUNCTION public.treasury_value_kinds() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT ARRAY['treasury.post_entry', 'treasury.reverse_entry', 'trading.deploy', 'trading.promote'] $$;

CREATE FUNCTION public.treasury_book_kinds() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT ARRAY['treasury.open_fund', 'treasury.open_book', 'treasury.close_book', 'trading.deploy', 'trading.promote'] $$;

CREATE FUNCTION public.treasury_is_paper(book bigint) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.kind = 'cohort' OR coalesce(p.kind = 'cohort', false)
      FROM public.treasury_book b LEFT JOIN public.treasury_book p ON p.id = b.parent_id
     WHERE b.id = book
$$;

-- Where a Book's cash goes home to: any Book above it; a later migration may know of further homes.
CREATE FUNCTION public.treasury_is_home(own bigint, own_path text, home bigint, home_path text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT starts_with(own_path, home_path || '/') $$;

CREATE FUNCTION public.treasury_guard_lines() RETURNS trigger
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
    -- What trading does by itself: fills, fees, funding and liquidations, on the Books that trade, each Book balanced by
    -- itself in the statement; and cash that goes home: what one of the fund's own Books loses, one above it gains, in
    -- the same statement.
    WITH moved AS (
        SELECT l.entry_id, e.kind, l.asset_id, l.amount, a.kind IN ('cash', 'position') AS equity,
               a.id = ANY (own) AS own, b.id AS book_id, b.path, b.kind AS book_kind
          FROM new_lines l
          JOIN public.treasury_journalentry e ON e.id = l.entry_id
          JOIN public.treasury_ledgeraccount a ON a.id = l.account_id
          JOIN public.treasury_book b ON b.id = a.book_id
         WHERE l.entry_id IN (SELECT n.entry_id FROM new_lines n WHERE n.account_id = ANY (own)))
    SELECT m.path, m.kind INTO bad
      FROM moved m
     WHERE m.own
       AND NOT (m.kind IN ('fill', 'fee', 'funding', 'liquidation') AND m.book_kind NOT IN ('fund', 'strategy')
                AND (SELECT sum(x.amount) FROM moved x WHERE x.entry_id = m.entry_id AND x.book_id = m.book_id
                        AND x.asset_id = m.asset_id) = 0)
       AND NOT (m.kind = 'release'
                AND (SELECT coalesce(sum(x.amount), 0) FROM moved x
                      WHERE x.entry_id = m.entry_id AND x.asset_id = m.asset_id AND x.equity) = 0
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

CREATE TRIGGER treasury_value_guard AFTER INSERT ON public.treasury_journalline
    REFERENCING NEW TABLE AS new_lines
    FOR EACH STATEMENT EXECUTE FUNCTION public.treasury_guard_lines();

-- Funds and Books: free until the rules for opening them are in force (an installation makes its first ones), and from
-- then on for good by request alone.
CREATE FUNCTION public.treasury_guard_books() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bad record;
BEGIN
    IF NOT public.compliance_founded('treasury.open_book')
       OR public.compliance_executing_any(public.treasury_book_kinds()) THEN
        RETURN NULL;
    END IF;
    SELECT n.path INTO bad FROM new_books n WHERE NOT public.treasury_is_paper(n.id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Book % is opened and closed by an approved request alone.', bad.path
            USING ERRCODE = '23A09', HINT = 'Propose it; it is done once it is signed and released.';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER treasury_opening_guard AFTER INSERT ON public.treasury_book
    REFERENCING NEW TABLE AS new_books
    FOR EACH STATEMENT EXECUTE FUNCTION public.treasury_guard_books();
CREATE TRIGGER treasury_z_closing_guard AFTER UPDATE ON public.treasury_book
    REFERENCING NEW TABLE AS new_books
    FOR EACH STATEMENT EXECUTE FUNCTION public.treasury_guard_books();

CREATE FUNCTION public.treasury_guard_funds() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF public.compliance_founded('treasury.open_fund')
       AND NOT public.compliance_executing_any(ARRAY['treasury.open_fund']) THEN
        RAISE EXCEPTION 'A fund is opened by an approved request alone.'
            USING ERRCODE = '23A09', HINT = 'Propose it; it is done once it is signed and released.';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER treasury_opening_guard AFTER INSERT ON public.treasury_fund
    FOR EACH STATEMENT EXECUTE FUNCTION public.treasury_guard_funds();
