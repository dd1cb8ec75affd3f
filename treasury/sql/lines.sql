-- The rules of journal lines, checked once a statement over all its lines: a COPY of a hundred thousand lines is one
-- check. The queries are planned at each run (EXECUTE): a plan made for two lines would be ruinous for that COPY, and
-- the reverse.

ALTER TABLE public.treasury_journalline
    ADD CONSTRAINT treasury_line_is_number CHECK (amount <> 'NaN'::numeric);

CREATE FUNCTION public.treasury_check_new_lines() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_entry bigint;
    last_entry bigint;
    bad record;
    unbalanced record;
BEGIN
    SELECT min(entry_id), max(entry_id) INTO first_entry, last_entry FROM new_lines;
    IF first_entry IS NULL THEN
        RETURN NULL;
    END IF;

    -- Sealed: only the transaction that made an entry adds lines to it, and not once it is reversed.
    EXECUTE $q$
        SELECT l.entry_id, e.posting_seq, e.id IS NOT NULL AS known
          FROM (SELECT DISTINCT entry_id FROM new_lines) l
          LEFT JOIN public.treasury_journalentry e ON e.id = l.entry_id AND e.id BETWEEN $1 AND $2
         WHERE e.id IS NULL
            OR e.created_xid <> pg_current_xact_id()::text::bigint
            OR e.recorded_at <> transaction_timestamp()
            OR EXISTS (SELECT FROM public.treasury_journalentry r WHERE r.reverses_id = e.id AND r.reverses_id IS NOT NULL)
         LIMIT 1 $q$
       INTO bad USING first_entry, last_entry;
    IF bad.entry_id IS NOT NULL THEN
        IF bad.known THEN
            RAISE EXCEPTION 'Entry #% is sealed: it was made by an earlier transaction or is already reversed.', bad.posting_seq
                USING ERRCODE = '23L08', HINT = 'Post another entry; to correct this one, reverse it first.',
                      DETAIL = json_build_object('entry_id', bad.entry_id, 'posting_seq', bad.posting_seq)::text;
        END IF;
        RAISE EXCEPTION 'There is no journal entry %.', bad.entry_id
            USING ERRCODE = '23L05', HINT = 'Post the entry before its lines, in the same transaction.',
                  DETAIL = json_build_object('entry_id', bad.entry_id)::text;
    END IF;

    -- Accounts: known, of the entry's fund, in an open book, not before that book opened.
    EXECUTE $q$
        SELECT l.account_id, a.id IS NOT NULL AS known, b.fund_id = l.fund_id AS own, b.closed_at, b.opened_on, b.path,
               l.value_from
          FROM (SELECT n.account_id, e.fund_id, min(e.value_date) AS value_from
                  FROM new_lines n
                  JOIN public.treasury_journalentry e ON e.id = n.entry_id AND e.id BETWEEN $1 AND $2
                 GROUP BY n.account_id, e.fund_id) l
          LEFT JOIN public.treasury_ledgeraccount a ON a.id = l.account_id
          LEFT JOIN public.treasury_book b ON b.id = a.book_id
         WHERE b.id IS NULL OR b.fund_id <> l.fund_id OR b.closed_at IS NOT NULL OR l.value_from < b.opened_on
         LIMIT 1 $q$
       INTO bad USING first_entry, last_entry;
    IF bad.account_id IS NOT NULL THEN
        IF NOT bad.known THEN
            RAISE EXCEPTION 'There is no ledger account %.', bad.account_id
                USING ERRCODE = '23L04', HINT = 'Open the book and its accounts first.',
                      DETAIL = json_build_object('account_id', bad.account_id)::text;
        ELSIF NOT bad.own THEN
            RAISE EXCEPTION 'Account % of book % belongs to another fund than the entry.', bad.account_id, bad.path
                USING ERRCODE = '23L06', HINT = 'Post one entry in each fund; value moves between funds through both.',
                      DETAIL = json_build_object('account_id', bad.account_id, 'book', bad.path)::text;
        ELSIF bad.closed_at IS NOT NULL THEN
            RAISE EXCEPTION 'Book % is closed since %.', bad.path, bad.closed_at
                USING ERRCODE = '23L07', HINT = 'Post to an open book; a closed one stays closed.',
                      DETAIL = json_build_object('account_id', bad.account_id, 'book', bad.path)::text;
        ELSE
            RAISE EXCEPTION 'The value date % is before book % opened on %.', bad.value_from, bad.path, bad.opened_on
                USING ERRCODE = '23L11', HINT = 'Correct the value date, or open the book on an earlier day.',
                      DETAIL = json_build_object('book', bad.path, 'value_date', bad.value_from,
                                                 'opened_on', bad.opened_on)::text;
        END IF;
    END IF;

    SELECT l.asset_id INTO bad
      FROM (SELECT DISTINCT asset_id FROM new_lines) l
     WHERE NOT EXISTS (SELECT FROM public.treasury_asset a WHERE a.id = l.asset_id)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'There is no asset %.', bad.asset_id
            USING ERRCODE = '23L03', HINT = 'Register the asset first.',
                  DETAIL = json_build_object('asset_id', bad.asset_id)::text;
    END IF;

    -- Balance: lines that balance among themselves leave their entry balanced. Where they do not, or where the entry is a
    -- reversal, the whole entry is looked at when the transaction commits.
    FOR unbalanced IN EXECUTE $q$
        SELECT e.fund_id, min(e.posting_seq) AS first_seq, max(e.posting_seq) AS last_seq
          FROM public.treasury_journalentry e
         WHERE e.id BETWEEN $1 AND $2
           AND (e.id IN (SELECT entry_id FROM new_lines GROUP BY entry_id, asset_id HAVING sum(amount) <> 0)
                OR (e.reverses_id IS NOT NULL AND e.id IN (SELECT entry_id FROM new_lines)))
         GROUP BY e.fund_id $q$
       USING first_entry, last_entry
    LOOP
        INSERT INTO public.treasury_postingcheck (fund_id, first_seq, last_seq, balance)
        VALUES (unbalanced.fund_id, unbalanced.first_seq, unbalanced.last_seq, true);
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER treasury_line_rules AFTER INSERT ON public.treasury_journalline
    REFERENCING NEW TABLE AS new_lines
    FOR EACH STATEMENT EXECUTE FUNCTION public.treasury_check_new_lines();
