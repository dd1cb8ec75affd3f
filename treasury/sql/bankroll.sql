-- The pool is set up by the gate, a slice is taken by a deployment's request, and no commitment passes the caps,
-- however many are made at once: the pool's row is the lock.

CREATE OR REPLACE FUNCTION public.treasury_value_kinds() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT ARRAY['treasury.post_entry', 'treasury.reverse_entry', 'treasury.set_pool', 'trading.deploy', 'trading.promote'] $$;

CREATE OR REPLACE FUNCTION public.treasury_book_kinds() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT ARRAY['treasury.open_fund', 'treasury.open_book', 'treasury.close_book', 'treasury.set_pool', 'trading.deploy',
                   'trading.promote'] $$;

CREATE OR REPLACE FUNCTION public.treasury_is_home(own bigint, own_path text, home bigint, home_path text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT starts_with(own_path, home_path || '/')
        OR EXISTS (SELECT FROM public.treasury_bankrollslice s JOIN public.treasury_bankrollpool p ON p.id = s.pool_id
                    WHERE s.book_id = own AND p.book_id = home)
$$;

CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.treasury_bankrollpool
    FOR EACH STATEMENT EXECUTE FUNCTION public.compliance_gate_guard('treasury.set_pool');

CREATE FUNCTION public.treasury_check_slice() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pool public.treasury_bankrollpool;
    taken numeric;
    market text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'A slice is released, never deleted.' USING ERRCODE = '23L18';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.released_at IS NOT NULL OR NOT public.compliance_executing_any(ARRAY['trading.deploy', 'trading.promote']) THEN
            RAISE EXCEPTION 'A slice is taken by an approved request alone.' USING ERRCODE = '23A09';
        END IF;
    ELSE
        IF (NEW.pool_id, NEW.book_id, NEW.source, NEW.leverage, NEW.markets, NEW.most_frac, NEW.taken_at)
           IS DISTINCT FROM
           (OLD.pool_id, OLD.book_id, OLD.source, OLD.leverage, OLD.markets, OLD.most_frac, OLD.taken_at)
           OR OLD.released_at IS NOT NULL THEN
            RAISE EXCEPTION 'A slice keeps what it was taken for; a released one is over.' USING ERRCODE = '23L18';
        END IF;
        IF (NEW.amount > OLD.amount OR NEW.target > OLD.target)
           AND NOT public.compliance_executing_any(ARRAY['treasury.set_pool']) THEN
            RAISE EXCEPTION 'A slice grows by an approved request alone.' USING ERRCODE = '23A09';
        END IF;
        IF NEW.amount <= OLD.amount AND NEW.target <= OLD.target THEN
            RETURN NEW;
        END IF;
    END IF;
    SELECT * INTO pool FROM public.treasury_bankrollpool WHERE id = NEW.pool_id FOR UPDATE;
    SELECT coalesce(sum(greatest(s.amount, s.target)), 0) INTO taken FROM public.treasury_bankrollslice s
     WHERE s.pool_id = pool.id AND s.released_at IS NULL AND s.id IS DISTINCT FROM NEW.id;
    IF taken + greatest(NEW.amount, NEW.target) > pool.capacity THEN
        RAISE EXCEPTION 'The pool has % left of %; % is asked for.', trim_scale(pool.capacity - taken),
            trim_scale(pool.capacity), trim_scale(NEW.amount)
            USING ERRCODE = '23L19', HINT = 'Take less, release a slice, or ask for a larger pool.';
    END IF;
    SELECT coalesce(sum(greatest(s.amount, s.target)), 0) INTO taken FROM public.treasury_bankrollslice s
     WHERE s.pool_id = pool.id AND s.released_at IS NULL AND s.source = NEW.source AND s.id IS DISTINCT FROM NEW.id;
    IF taken + greatest(NEW.amount, NEW.target) > pool.capacity * pool.source_cap_frac THEN
        RAISE EXCEPTION 'Slices of % may come to % of the pool; % is handed out already and % is asked for.', NEW.source,
            trim_scale(pool.capacity * pool.source_cap_frac), trim_scale(taken), trim_scale(NEW.amount)
            USING ERRCODE = '23L19', HINT = 'Release a slice of the same source first.';
    END IF;
    FOR market IN SELECT jsonb_array_elements_text(NEW.markets) LOOP
        SELECT coalesce(sum(greatest(s.amount, s.target) * s.leverage), 0) INTO taken FROM public.treasury_bankrollslice s
         WHERE s.pool_id = pool.id AND s.released_at IS NULL AND s.markets ? market AND s.id IS DISTINCT FROM NEW.id;
        IF taken + greatest(NEW.amount, NEW.target) * NEW.leverage > pool.capacity * pool.market_cap_frac THEN
            RAISE EXCEPTION 'Slices may hold % in % together; % is committed and % is asked for.',
                trim_scale(pool.capacity * pool.market_cap_frac), market, trim_scale(taken),
                trim_scale(NEW.amount * NEW.leverage)
                USING ERRCODE = '23L19', HINT = 'Take less, lower the leverage, or release a slice in that market.';
        END IF;
    END LOOP;
    RETURN NEW;
END
$$;

CREATE TRIGGER check_slice BEFORE INSERT OR UPDATE OR DELETE ON public.treasury_bankrollslice
    FOR EACH ROW EXECUTE FUNCTION public.treasury_check_slice();
