-- The rules of the book tree, and what is never changed or deleted.

CREATE FUNCTION public.treasury_place_book() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    above record;
BEGIN
    IF NEW.closed_at IS NOT NULL THEN
        RAISE EXCEPTION 'Book % would be born closed.', NEW.code
            USING ERRCODE = '23L15', HINT = 'Open the book; close it later.';
    END IF;
    IF NEW.code !~ '^[A-Za-z0-9][A-Za-z0-9._-]*$' THEN
        RAISE EXCEPTION 'The book code "%" cannot be part of a path.', NEW.code
            USING ERRCODE = '23L15', HINT = 'Use letters, digits and . _ - only.';
    END IF;
    IF NEW.parent_id IS NULL THEN
        NEW.path := NEW.code;
        RETURN NEW;
    END IF;
    -- The share lock keeps the parent from being closed before this book is there.
    SELECT b.fund_id, b.path, b.closed_at INTO above
      FROM public.treasury_book b WHERE b.id = NEW.parent_id FOR SHARE;
    IF NOT FOUND OR above.fund_id <> NEW.fund_id THEN
        RAISE EXCEPTION 'Book % has no parent % in its fund.', NEW.code, NEW.parent_id
            USING ERRCODE = '23L15', HINT = 'Open it under a book of the same fund.';
    END IF;
    IF above.closed_at IS NOT NULL THEN
        RAISE EXCEPTION 'Book % is closed since %.', above.path, above.closed_at
            USING ERRCODE = '23L07', HINT = 'Open new books under an open one.',
                  DETAIL = json_build_object('book', above.path)::text;
    END IF;
    NEW.path := above.path || '/' || NEW.code;
    RETURN NEW;
END
$$;

CREATE TRIGGER treasury_book_place BEFORE INSERT ON public.treasury_book
    FOR EACH ROW EXECUTE FUNCTION public.treasury_place_book();

CREATE FUNCTION public.treasury_keep_book() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (OLD.id, OLD.fund_id, OLD.code, OLD.kind, OLD.path, OLD.opened_on)
           IS DISTINCT FROM (NEW.id, NEW.fund_id, NEW.code, NEW.kind, NEW.path, NEW.opened_on)
       OR OLD.parent_id IS DISTINCT FROM NEW.parent_id THEN
        RAISE EXCEPTION 'Book % keeps its place, kind and opening day.', OLD.path
            USING ERRCODE = '23L09', HINT = 'Open another book and move what it holds there.';
    END IF;
    IF OLD.closed_at IS NOT NULL AND OLD.closed_at IS DISTINCT FROM NEW.closed_at THEN
        RAISE EXCEPTION 'Book % is closed since %, for good.', OLD.path, OLD.closed_at
            USING ERRCODE = '23L07', HINT = 'Open another book.';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER treasury_book_keep BEFORE UPDATE ON public.treasury_book
    FOR EACH ROW EXECUTE FUNCTION public.treasury_keep_book();

CREATE FUNCTION public.treasury_check_closing() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fund bigint;
    bad record;
BEGIN
    IF NOT EXISTS (SELECT FROM new_books n JOIN old_books o USING (id) WHERE n.closed_at IS DISTINCT FROM o.closed_at) THEN
        RETURN NULL;
    END IF;
    -- Behind the lock of its postings: whoever posts after this commits sees the book closed.
    FOR fund IN SELECT DISTINCT fund_id FROM new_books ORDER BY fund_id LOOP
        PERFORM public.treasury_lock_fund(fund);
    END LOOP;

    SELECT n.path, child.path AS child INTO bad
      FROM new_books n JOIN public.treasury_book child ON child.parent_id = n.id
     WHERE n.closed_at IS NOT NULL AND child.closed_at IS NULL
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Book % cannot be closed while % is open.', bad.path, bad.child
            USING ERRCODE = '23L16', HINT = 'Close the books below it first.',
                  DETAIL = json_build_object('book', bad.path, 'open', bad.child)::text;
    END IF;

    SELECT n.path, a.kind, coalesce(s.code, l.asset_id::text) AS asset, sum(l.amount) AS amount INTO bad
      FROM new_books n
      JOIN public.treasury_ledgeraccount a ON a.book_id = n.id AND a.kind IN ('cash', 'position')
      JOIN public.treasury_journalline l ON l.account_id = a.id
      LEFT JOIN public.treasury_asset s ON s.id = l.asset_id
     WHERE n.closed_at IS NOT NULL
     GROUP BY n.path, a.kind, l.asset_id, s.code
    HAVING sum(l.amount) <> 0
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Book % still holds % % (%).', bad.path, trim_scale(bad.amount), bad.asset, bad.kind
            USING ERRCODE = '23L16', HINT = 'Sell its positions and release its cash to the parent first.',
                  DETAIL = json_build_object('book', bad.path, 'kind', bad.kind, 'asset', bad.asset,
                                             'amount', trim_scale(bad.amount)::text)::text;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER treasury_book_closing AFTER UPDATE ON public.treasury_book
    REFERENCING OLD TABLE AS old_books NEW TABLE AS new_books
    FOR EACH STATEMENT EXECUTE FUNCTION public.treasury_check_closing();

CREATE FUNCTION public.treasury_keep_reference() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept text;
    was jsonb := to_jsonb(OLD);
    will jsonb := to_jsonb(NEW);
BEGIN
    FOREACH kept IN ARRAY TG_ARGV LOOP
        IF was -> kept IS DISTINCT FROM will -> kept THEN
            RAISE EXCEPTION 'The % of a % is never changed.', kept, TG_TABLE_NAME
                USING ERRCODE = '23L09', HINT = 'Register a new one instead.',
                      DETAIL = json_build_object('table', TG_TABLE_NAME, 'column', kept)::text;
        END IF;
    END LOOP;
    RETURN NEW;
END
$$;

CREATE TRIGGER treasury_asset_keep BEFORE UPDATE ON public.treasury_asset
    FOR EACH ROW EXECUTE FUNCTION public.treasury_keep_reference('id', 'code', 'kind');
CREATE TRIGGER treasury_fund_keep BEFORE UPDATE ON public.treasury_fund
    FOR EACH ROW EXECUTE FUNCTION public.treasury_keep_reference('id', 'code', 'base_asset_id');

-- Nothing the journal stands on is ever deleted, and nothing in it ever changed: refused to every role by the statement,
-- before a row is looked at.
CREATE FUNCTION public.treasury_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the books are only ever added to.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = '23L09', HINT = 'Correct an entry by reversing it and posting another.',
              DETAIL = json_build_object('table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['journalentry', 'journalline', 'postingbatch', 'ledgeraccount'] LOOP
        EXECUTE format(
            'CREATE TRIGGER treasury_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.treasury_%s
             FOR EACH STATEMENT EXECUTE FUNCTION public.treasury_refuse_change()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['asset', 'fund', 'book'] LOOP
        EXECUTE format(
            'CREATE TRIGGER treasury_never_deleted BEFORE DELETE OR TRUNCATE ON public.treasury_%s
             FOR EACH STATEMENT EXECUTE FUNCTION public.treasury_refuse_change()', name);
    END LOOP;
END
$$;
