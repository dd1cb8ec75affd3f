-- Roles, objects granted one by one, and closed accounts: once access has rules in force, changed by approved requests
-- alone. Until then (an installation's first accounts) the door is open; policies are never removed, so it closes once,
-- for good. Refusals carry SQLSTATE 23A09.

CREATE FUNCTION public.compliance_access_founded() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM public.compliance_approvalpolicy WHERE starts_with(kind, 'access.'))
$$;

CREATE FUNCTION public.compliance_access_changes(what text, account bigint, detail text, value text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.compliance_approvalrequest r JOIN public.core_user u ON u.id = account
         WHERE r.id = public.compliance_executing(what) AND r.payload ->> 'account' = u.username
           AND (detail = '' OR r.payload ->> detail = value))
$$;

CREATE FUNCTION public.compliance_refuse_access(what text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is done by an approved request alone.', what
        USING ERRCODE = '23A09', HINT = 'Propose the change; it is done once it is signed and released.';
END $$;

CREATE FUNCTION public.compliance_guard_roles() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    held text;
BEGIN
    IF NOT compliance_access_founded() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT name INTO held FROM public.auth_group WHERE id = NEW.group_id;
        IF compliance_access_changes('access.grant_role', NEW.user_id, 'role', held) THEN
            RETURN NULL;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT name INTO held FROM public.auth_group WHERE id = OLD.group_id;
        IF compliance_access_changes('access.remove_role', OLD.user_id, 'role', held) THEN
            RETURN NULL;
        END IF;
    END IF;
    PERFORM compliance_refuse_access('Changing who holds a role');
    RETURN NULL;
END $$;
CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE ON core_user_groups
    FOR EACH ROW EXECUTE FUNCTION compliance_guard_roles();

CREATE FUNCTION public.compliance_guard_objects() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    change record;
    wanted text := CASE TG_OP WHEN 'INSERT' THEN 'access.grant_fund' ELSE 'access.remove_fund' END;
BEGIN
    IF NOT compliance_access_founded() THEN
        RETURN NULL;
    END IF;
    change := CASE TG_OP WHEN 'INSERT' THEN NEW ELSE OLD END;
    IF TG_OP = 'UPDATE' OR NOT EXISTS (
            SELECT FROM public.compliance_approvalrequest r
              JOIN public.core_user u ON u.id = change.user_id
              JOIN public.auth_permission p ON p.id = change.permission_id
              JOIN public.django_content_type t ON t.id = change.content_type_id AND t.id = p.content_type_id
             WHERE r.id = compliance_executing(wanted) AND r.payload ->> 'account' = u.username
               AND r.payload ->> 'what' = t.app_label || '.' || t.model AND r.payload ->> 'permission' = p.codename
               AND r.object_type = t.app_label || '.' || t.model AND r.object_id = change.object_pk) THEN
        PERFORM compliance_refuse_access('Granting what one account may see');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE ON guardian_userobjectpermission
    FOR EACH ROW EXECUTE FUNCTION compliance_guard_objects();

-- Nobody gets rights beside their roles and objects; and what a role may do comes with the code, by its migrations.
CREATE FUNCTION public.compliance_guard_grants() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF compliance_access_founded()
       AND NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        PERFORM compliance_refuse_access('Changing what roles and permissions mean');
    END IF;
    RETURN NULL;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['auth_group', 'auth_permission', 'auth_group_permissions', 'core_user_user_permissions',
                                'guardian_groupobjectpermission', 'django_content_type'] LOOP
        EXECUTE format('CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION public.compliance_guard_grants()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['core_user_groups', 'guardian_userobjectpermission', 'core_user'] LOOP
        EXECUTE format('CREATE TRIGGER gate_guard_all AFTER TRUNCATE ON public.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION public.compliance_guard_grants()', name);
    END LOOP;
END $$;

-- Closing an account takes access away, at once; opening it again gives it back.
CREATE FUNCTION public.compliance_guard_accounts() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF compliance_access_founded()
       AND NOT compliance_access_changes('access.reopen_account', NEW.id, '', '') THEN
        PERFORM compliance_refuse_access('Opening a closed account');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER gate_guard AFTER UPDATE ON core_user
    FOR EACH ROW WHEN (NEW.is_active AND NOT OLD.is_active) EXECUTE FUNCTION compliance_guard_accounts();
