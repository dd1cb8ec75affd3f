-- Overrides: no row but of an executed request that risk and operations have signed; never longer, further or more
-- at once than the policy in force says; never changed, ended once.

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_overridepolicy
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_guardrailoverride
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_overrideend
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

CREATE FUNCTION risk_check_override_policy() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.request_id IS DISTINCT FROM compliance_executing('risk.set_override_policy')
       OR NOT EXISTS (SELECT FROM compliance_approvalrequest r
                       WHERE r.id = NEW.request_id AND r.payload = NEW.document)
       OR NEW.version <> 1 + coalesce((SELECT max(version) FROM risk_overridepolicy), 0) THEN
        RAISE EXCEPTION 'A policy for overrides comes from its approved request alone.' USING ERRCODE = '23A09';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON risk_overridepolicy
    FOR EACH ROW EXECUTE FUNCTION risk_check_override_policy();

CREATE FUNCTION risk_check_override() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    rules jsonb;
    asked jsonb;
    bound risk_risklimit;
    factor numeric;
BEGIN
    IF NEW.request_id IS DISTINCT FROM compliance_executing('risk.override_guardrail') THEN
        RAISE EXCEPTION 'An override comes from its approved request alone.' USING ERRCODE = '23A09';
    END IF;
    SELECT r.payload INTO asked FROM compliance_approvalrequest r WHERE r.id = NEW.request_id;
    IF (asked ->> 'book') IS DISTINCT FROM (SELECT path FROM treasury_book WHERE id = NEW.book_id)
       OR coalesce(asked ->> 'metric', '') <> NEW.metric OR coalesce(asked ->> 'trigger', '') <> NEW.trigger
       OR coalesce(asked ->> 'symbol', '') <> NEW.symbol OR coalesce(asked ->> 'venue', '') <> NEW.venue
       OR (asked ->> 'level')::numeric IS DISTINCT FROM NEW.level
       OR (asked ->> 'ends_at')::timestamptz IS DISTINCT FROM NEW.ends_at
       OR NEW.starts_at < (asked ->> 'starts_at')::timestamptz THEN
        RAISE EXCEPTION 'This is not the override that was approved.' USING ERRCODE = '23A09';
    END IF;
    -- Two people of the two roles, whatever the policy of the gate says today.
    IF NOT EXISTS (
        SELECT FROM compliance_approvalrequest r
          JOIN compliance_approvalstatement s ON s.request_id = r.id AND s.version = r.version
          JOIN compliance_approvaldecision a ON a.statement_id = s.id AND a.decision = 'approve'
                                            AND a.role = 'Risk officer'
          JOIN compliance_approvaldecision b ON b.statement_id = s.id AND b.decision = 'approve'
                                            AND b.role = 'Operations' AND b.person_id <> a.person_id
         WHERE r.id = NEW.request_id) THEN
        RAISE EXCEPTION 'An override is signed by a risk and an operations officer.' USING ERRCODE = '23A05';
    END IF;
    SELECT document INTO rules FROM risk_overridepolicy
     WHERE id = NEW.policy_id AND version = (SELECT max(version) FROM risk_overridepolicy);
    IF rules IS NULL THEN
        RAISE EXCEPTION 'Overrides are bound by the policy in force.' USING ERRCODE = '23L11';
    END IF;
    IF NEW.starts_at < transaction_timestamp() - interval '5 minutes' AND NEW.starts_at < NEW.created_at
       OR NEW.ends_at > NEW.starts_at + make_interval(hours => (rules ->> 'max_hours')::int) THEN
        RAISE EXCEPTION 'The policy allows no override that long.' USING ERRCODE = '23L12';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('risk.override'), NEW.book_id::int);
    IF EXISTS (SELECT FROM risk_guardrailoverride o
                WHERE o.book_id = NEW.book_id AND o.limit_id IS NOT DISTINCT FROM NEW.limit_id
                  AND o.trigger = NEW.trigger AND o.starts_at < NEW.ends_at AND o.ends_at > NEW.starts_at
                  AND NOT EXISTS (SELECT FROM risk_overrideend e WHERE e.override_id = o.id)) THEN
        RAISE EXCEPTION 'There is an override of this already. They do not stack.' USING ERRCODE = '23L13';
    END IF;
    IF NEW.trigger <> '' THEN
        IF NOT (rules -> 'triggers') ? NEW.trigger THEN
            RAISE EXCEPTION 'The policy lets nobody silence this trigger.' USING ERRCODE = '23L14';
        END IF;
        RETURN NEW;
    END IF;
    SELECT * INTO bound FROM risk_risklimit l
     WHERE l.id = NEW.limit_id AND l.book_id = NEW.book_id AND l.metric = NEW.metric AND l.symbol = NEW.symbol
       AND l.venue = NEW.venue AND (l.effective_to IS NULL OR l.effective_to > NEW.starts_at);
    factor := (rules ->> 'max_factor')::numeric;
    IF bound.hard IS NULL OR (rules -> 'never') ? NEW.metric
       OR (NEW.metric = 'cooldown_s' AND NOT (NEW.level < bound.hard AND NEW.level * factor >= bound.hard))
       OR (NEW.metric <> 'cooldown_s' AND NOT (NEW.level > bound.hard AND NEW.level <= bound.hard * factor)) THEN
        RAISE EXCEPTION 'An override loosens one hard limit, as far as the policy allows.' USING ERRCODE = '23L14';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON risk_guardrailoverride
    FOR EACH ROW EXECUTE FUNCTION risk_check_override();

CREATE FUNCTION risk_check_override_end() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.cause = 'expired' AND NEW.at < (SELECT ends_at FROM risk_guardrailoverride WHERE id = NEW.override_id) THEN
        RAISE EXCEPTION 'Its time is not over yet.' USING ERRCODE = '23L15';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON risk_overrideend
    FOR EACH ROW EXECUTE FUNCTION risk_check_override_end();
