-- The rules of journal entries. Every function runs with its owner's rights and names every table with its schema, so
-- that nothing a session puts on its search path (a temporary table, say) can stand in for the books.
-- Refusals carry an SQLSTATE of their own (23Lnn), a message, a hint that says what to do, and JSON as the detail;
-- treasury/refusals.py maps them to the error classes.

-- One lock a fund orders its postings: it is held until commit, so that the numbers are without a gap, also after a
-- rollback, and whoever has seen number n has seen every number before it.
CREATE FUNCTION public.treasury_lock_fund(fund bigint) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_advisory_xact_lock(1179995716, fund::int) $$;

-- Takes the lock and tells what the next entry must carry. Booking time never runs backwards within a fund.
CREATE FUNCTION public.treasury_begin_posting(fund bigint, at timestamptz)
RETURNS TABLE (next_seq bigint, booking_time timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM public.treasury_lock_fund(fund);
    RETURN QUERY
        SELECT e.posting_seq + 1, greatest(e.booked_at, at)
          FROM public.treasury_journalentry e
         WHERE e.fund_id = fund
         ORDER BY e.posting_seq DESC
         LIMIT 1;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 1::bigint, at;
    END IF;
END
$$;

CREATE FUNCTION public.treasury_check_new_entries() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_of record;
    last_of record;
    opened date;
    bad record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'Postings were attempted at isolation level %.', current_setting('transaction_isolation')
            USING ERRCODE = '23L14', HINT = 'Post in a transaction at READ COMMITTED: older snapshots cannot see the last posting.';
    END IF;
    FOR new_of IN
        SELECT fund_id,
               count(*) AS entries, min(posting_seq) AS first_seq, max(posting_seq) AS last_seq,
               min(booked_at) AS booked_from, max(booked_at) AS booked_to,
               min(value_date) AS value_from, max(value_date) AS value_to,
               count(reverses_id) AS reversals,
               bool_and(created_xid = pg_current_xact_id()::text::bigint AND recorded_at = transaction_timestamp()) AS own
          FROM new_entries
         GROUP BY fund_id
         ORDER BY fund_id
    LOOP
        PERFORM public.treasury_lock_fund(new_of.fund_id);

        SELECT f.opened_on INTO opened FROM public.treasury_fund f WHERE f.id = new_of.fund_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'There is no fund %.', new_of.fund_id
                USING ERRCODE = '23L17', HINT = 'Open the fund first.',
                      DETAIL = json_build_object('fund_id', new_of.fund_id)::text;
        END IF;

        IF NOT new_of.own THEN
            RAISE EXCEPTION 'An entry claims to come from another transaction than the one that makes it.'
                USING ERRCODE = '23L08', HINT = 'Leave created_xid and recorded_at to the database.',
                      DETAIL = json_build_object('fund_id', new_of.fund_id)::text;
        END IF;

        SELECT e.posting_seq, e.booked_at INTO last_of
          FROM public.treasury_journalentry e
         WHERE e.fund_id = new_of.fund_id AND e.posting_seq < new_of.first_seq
         ORDER BY e.posting_seq DESC
         LIMIT 1;
        IF new_of.first_seq <> coalesce(last_of.posting_seq, 0) + 1
           OR new_of.last_seq - new_of.first_seq + 1 <> new_of.entries THEN
            RAISE EXCEPTION 'Entries % to % do not follow on posting_seq % without a gap.',
                            new_of.first_seq, new_of.last_seq, coalesce(last_of.posting_seq, 0)
                USING ERRCODE = '23L10', HINT = 'Number entries from what treasury_begin_posting() returns.',
                      DETAIL = json_build_object('fund_id', new_of.fund_id, 'first_seq', new_of.first_seq,
                                                 'last_seq', new_of.last_seq,
                                                 'last_posted', coalesce(last_of.posting_seq, 0))::text;
        END IF;
        IF new_of.booked_from <> new_of.booked_to OR new_of.booked_from < last_of.booked_at
           OR new_of.booked_to > clock_timestamp() + interval '1 day' THEN
            RAISE EXCEPTION 'The booking time % is before the last posting''s or in the future.', new_of.booked_to
                USING ERRCODE = '23L10', HINT = 'Book at the time treasury_begin_posting() returns; check this machine''s clock.',
                      DETAIL = json_build_object('fund_id', new_of.fund_id, 'booked_at', new_of.booked_to)::text;
        END IF;

        IF new_of.value_from < opened
           OR new_of.value_to > (new_of.booked_to AT TIME ZONE 'UTC')::date + 366 THEN
            RAISE EXCEPTION 'A value date (% to %) lies before the fund opened on % or more than a year ahead.',
                            new_of.value_from, new_of.value_to, opened
                USING ERRCODE = '23L11', HINT = 'Correct the value date, or the day the fund opened.',
                      DETAIL = json_build_object('fund_id', new_of.fund_id, 'value_from', new_of.value_from,
                                                 'value_to', new_of.value_to, 'opened_on', opened)::text;
        END IF;

        IF new_of.reversals > 0 THEN
            SELECT n.posting_seq, n.reverses_id, n.value_date, o.value_date AS original_date, o.reverses_id AS chained,
                   o.fund_id IS NOT DISTINCT FROM n.fund_id AND o.posting_seq < n.posting_seq AS known
              INTO bad
              FROM new_entries n
              LEFT JOIN public.treasury_journalentry o ON o.id = n.reverses_id
             WHERE n.fund_id = new_of.fund_id AND n.reverses_id IS NOT NULL
               AND ((o.fund_id = n.fund_id AND o.posting_seq < n.posting_seq) IS NOT TRUE
                    OR o.reverses_id IS NOT NULL OR n.value_date < o.value_date)
             LIMIT 1;
            IF FOUND THEN
                IF NOT bad.known THEN
                    RAISE EXCEPTION 'Entry % is no earlier entry of this fund and cannot be reversed in it.', bad.reverses_id
                        USING ERRCODE = '23L05', HINT = 'Name an entry of the same fund.',
                              DETAIL = json_build_object('entry_id', bad.reverses_id)::text;
                ELSIF bad.chained IS NOT NULL THEN
                    RAISE EXCEPTION 'Entry % is a reversal itself.', bad.reverses_id
                        USING ERRCODE = '23L13', HINT = 'Post the movement again as a new entry instead.',
                              DETAIL = json_build_object('entry_id', bad.reverses_id)::text;
                ELSE
                    RAISE EXCEPTION 'The reversal''s value date % is before its entry''s, %.', bad.value_date, bad.original_date
                        USING ERRCODE = '23L11', HINT = 'Reverse on the value date of the entry or later.',
                              DETAIL = json_build_object('entry_id', bad.reverses_id, 'value_date', bad.value_date)::text;
                END IF;
            END IF;
        END IF;

        INSERT INTO public.treasury_postingcheck (fund_id, first_seq, last_seq, balance)
        VALUES (new_of.fund_id, new_of.first_seq, new_of.last_seq, false);
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER treasury_entry_rules AFTER INSERT ON public.treasury_journalentry
    REFERENCING NEW TABLE AS new_entries
    FOR EACH STATEMENT EXECUTE FUNCTION public.treasury_check_new_entries();

-- At commit (or at SET CONSTRAINTS treasury_posting_checked IMMEDIATE): once for a whole statement's worth of entries.
-- What can become wrong afterwards in the same transaction queues a check of its own (see lines.sql).
CREATE FUNCTION public.treasury_check_posting() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bad record;
BEGIN
    EXECUTE $q$
        SELECT e.id, e.posting_seq
          FROM public.treasury_journalentry e
         WHERE e.fund_id = $1 AND e.posting_seq BETWEEN $2 AND $3
           AND NOT EXISTS (SELECT FROM public.treasury_journalline l WHERE l.entry_id = e.id)
         LIMIT 1 $q$
       INTO bad USING NEW.fund_id, NEW.first_seq, NEW.last_seq;
    IF bad.id IS NOT NULL THEN
        RAISE EXCEPTION 'Entry #% has no lines.', bad.posting_seq
            USING ERRCODE = '23L02', HINT = 'Post an entry together with its lines, in one transaction.',
                  DETAIL = json_build_object('entry_id', bad.id, 'posting_seq', bad.posting_seq)::text;
    END IF;

    IF NEW.balance THEN
        SELECT e.posting_seq, l.asset_id, sum(l.amount) AS off, coalesce(a.code, l.asset_id::text) AS code
          INTO bad
          FROM public.treasury_journalentry e
          JOIN public.treasury_journalline l ON l.entry_id = e.id
          LEFT JOIN public.treasury_asset a ON a.id = l.asset_id
         WHERE e.fund_id = NEW.fund_id AND e.posting_seq BETWEEN NEW.first_seq AND NEW.last_seq
         GROUP BY e.posting_seq, l.asset_id, a.code
        HAVING sum(l.amount) <> 0
         ORDER BY e.posting_seq
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'Entry #% is off by % in %.', bad.posting_seq, trim_scale(bad.off), bad.code
                USING ERRCODE = '23L01', HINT = 'Make its lines sum to zero in every asset.',
                      DETAIL = json_build_object('posting_seq', bad.posting_seq, 'asset', bad.code,
                                                 'asset_id', bad.asset_id, 'off_by', trim_scale(bad.off)::text)::text;
        END IF;
    END IF;

    SELECT e.id, e.posting_seq, e.reverses_id INTO bad
      FROM public.treasury_journalentry e
     WHERE e.fund_id = NEW.fund_id AND e.posting_seq BETWEEN NEW.first_seq AND NEW.last_seq
       AND e.reverses_id IS NOT NULL
       AND EXISTS (
            SELECT FROM (
                SELECT l.account_id, l.asset_id, -l.amount AS amount, 1 AS n
                  FROM public.treasury_journalline l WHERE l.entry_id = e.id
                UNION ALL
                SELECT l.account_id, l.asset_id, l.amount, -1
                  FROM public.treasury_journalline l WHERE l.entry_id = e.reverses_id
            ) both_sides
            GROUP BY account_id, asset_id, amount
            HAVING sum(n) <> 0)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Entry #% does not mirror the entry it reverses.', bad.posting_seq
            USING ERRCODE = '23L12', HINT = 'Use reverse_entry(); post what should have been as another entry.',
                  DETAIL = json_build_object('posting_seq', bad.posting_seq, 'reverses', bad.reverses_id)::text;
    END IF;

    DELETE FROM public.treasury_postingcheck c WHERE c.id = NEW.id;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER treasury_posting_checked AFTER INSERT ON public.treasury_postingcheck
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.treasury_check_posting();

-- A batch record speaks of entries of its own transaction.
CREATE FUNCTION public.treasury_check_batch() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (SELECT count(*) FROM public.treasury_journalentry e
         WHERE e.fund_id = NEW.fund_id AND e.posting_seq IN (NEW.first_seq, NEW.last_seq)
           AND e.created_xid = pg_current_xact_id()::text::bigint)
       <> (CASE WHEN NEW.first_seq = NEW.last_seq THEN 1 ELSE 2 END)
       OR NEW.entry_count <> NEW.last_seq - NEW.first_seq + 1 THEN
        RAISE EXCEPTION 'The batch % to % does not name entries of this transaction.', NEW.first_seq, NEW.last_seq
            USING ERRCODE = '23L08', HINT = 'Use post_entries().',
                  DETAIL = json_build_object('first_seq', NEW.first_seq, 'last_seq', NEW.last_seq)::text;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER treasury_batch_rules BEFORE INSERT ON public.treasury_postingbatch
    FOR EACH ROW EXECUTE FUNCTION public.treasury_check_batch();
