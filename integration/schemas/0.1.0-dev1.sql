--
-- PostgreSQL database dump
--

\restrict TsF4GrrMh5hkFeQyjmCkXkAIIhaILrfZn4Y0ExnpPJ84D5orqVwBYrI50IEtDKR

-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
-- Dumped by pg_dump version 15.20 (Debian 15.20-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: backend; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA backend;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: accounts; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.accounts (
    id uuid NOT NULL,
    email text,
    email_folded text,
    display_name text NOT NULL,
    language text NOT NULL,
    time_zone text NOT NULL,
    declared_country text,
    created_at timestamp with time zone NOT NULL,
    blocked_at timestamp with time zone,
    blocked_reason text,
    deleted_at timestamp with time zone,
    CONSTRAINT accounts_email_check CHECK (((email IS NULL) = (deleted_at IS NOT NULL))),
    CONSTRAINT accounts_email_folded_check CHECK (((email IS NULL) = (email_folded IS NULL)))
);


--
-- Name: admin_accounts; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.admin_accounts (
    id uuid NOT NULL,
    username text NOT NULL,
    username_folded text NOT NULL,
    password_hash text NOT NULL,
    must_rotate boolean NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    locked_until timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    password_changed_at timestamp with time zone,
    disabled_at timestamp with time zone
);


--
-- Name: admin_audit_log; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.admin_audit_log (
    id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    admin_id uuid,
    username text NOT NULL,
    action text NOT NULL,
    target jsonb NOT NULL,
    outcome text DEFAULT 'unknown'::text NOT NULL,
    status integer,
    request_id text NOT NULL,
    CONSTRAINT admin_audit_log_outcome_check CHECK ((outcome = ANY (ARRAY['unknown'::text, 'done'::text, 'refused'::text, 'failed'::text])))
);


--
-- Name: admin_channel; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.admin_channel (
    sole boolean DEFAULT true NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    changed_at timestamp with time zone,
    CONSTRAINT admin_channel_sole_check CHECK (sole)
);


--
-- Name: alembic_version_admin; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_admin (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_adminchannel; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_adminchannel (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_auth; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_auth (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_engineversion; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_engineversion (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_geo; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_geo (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_kernel; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_kernel (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_lobby; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_lobby (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_mail; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_mail (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_notification; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_notification (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_push; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_push (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_runtime; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_runtime (
    version_num character varying(32) NOT NULL
);


--
-- Name: alembic_version_user; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.alembic_version_user (
    version_num character varying(32) NOT NULL
);


--
-- Name: auth_challenges; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.auth_challenges (
    id uuid NOT NULL,
    email text,
    locale text,
    address_key bytea NOT NULL,
    client_key bytea NOT NULL,
    code_hash bytea NOT NULL,
    tries smallint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    redeemed_at timestamp with time zone,
    CONSTRAINT auth_challenges_tries_check CHECK (((tries >= 0) AND (tries <= 5)))
);


--
-- Name: device_sessions; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.device_sessions (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    device_name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
);


--
-- Name: engine_versions; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.engine_versions (
    id uuid NOT NULL,
    engine text DEFAULT 'default'::text NOT NULL,
    version text NOT NULL,
    major integer NOT NULL,
    minor integer NOT NULL,
    patch integer NOT NULL,
    image text NOT NULL,
    digest text,
    state text DEFAULT 'active'::text NOT NULL,
    describe jsonb,
    checked_at timestamp with time zone,
    check_result jsonb,
    notes text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by text NOT NULL,
    check_requested_at timestamp with time zone,
    check_request_id text,
    check_lease integer DEFAULT 0 NOT NULL,
    check_until timestamp with time zone,
    check_tries integer DEFAULT 0 NOT NULL,
    CONSTRAINT engine_versions_check_request_id_check CHECK (((check_requested_at IS NULL) = (check_request_id IS NULL))),
    CONSTRAINT engine_versions_engine_check CHECK ((engine ~ '^[a-z0-9][a-z0-9._-]{0,63}$'::text)),
    CONSTRAINT engine_versions_state_check CHECK ((state = ANY (ARRAY['active'::text, 'deprecated'::text, 'retired'::text]))),
    CONSTRAINT engine_versions_version_check CHECK ((version ~ '^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-((0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$'::text))
);


--
-- Name: facts; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.facts (
    id uuid NOT NULL,
    fact text NOT NULL,
    listener text NOT NULL,
    payload text NOT NULL,
    request_id text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now() NOT NULL,
    last_error text,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: feed_changes; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.feed_changes (
    id bigint NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    horizon xid8 DEFAULT pg_snapshot_xmin(pg_current_snapshot()) NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    payload text,
    request_id text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: feed_changes_id_seq; Type: SEQUENCE; Schema: backend; Owner: -
--

ALTER TABLE backend.feed_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME backend.feed_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: games; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.games (
    id uuid NOT NULL,
    owner_id uuid,
    name text NOT NULL,
    visibility text NOT NULL,
    engine_version_id uuid NOT NULL,
    min_players smallint NOT NULL,
    max_players smallint NOT NULL,
    enrolled smallint DEFAULT '0'::smallint NOT NULL,
    options jsonb NOT NULL,
    schedule jsonb NOT NULL,
    run_when_final boolean NOT NULL,
    policy text NOT NULL,
    policy_options jsonb NOT NULL,
    state text DEFAULT 'draft'::text NOT NULL,
    pause_reason text,
    failure text,
    turn integer,
    next_turn_at timestamp with time zone,
    phase text,
    awaiting smallint[] DEFAULT '{}'::smallint[] NOT NULL,
    idle_turns integer DEFAULT 0 NOT NULL,
    result jsonb,
    client_key text,
    client_digest bytea,
    version integer DEFAULT 1 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    state_changed_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    request_id text NOT NULL,
    CONSTRAINT games_enrolled_check CHECK (((0 <= enrolled) AND (enrolled <= max_players))),
    CONSTRAINT games_pause_reason_check CHECK ((pause_reason = ANY (ARRAY['owner'::text, 'operator'::text, 'engine_failed'::text, 'abandoned'::text]))),
    CONSTRAINT games_paused_check CHECK (((state = 'paused'::text) = (pause_reason IS NOT NULL))),
    CONSTRAINT games_players_check CHECK (((1 <= min_players) AND (min_players <= max_players))),
    CONSTRAINT games_ready_check CHECK (((state = 'ready'::text) <= (enrolled = max_players))),
    CONSTRAINT games_state_check CHECK ((state = ANY (ARRAY['draft'::text, 'enrolling'::text, 'ready'::text, 'starting'::text, 'running'::text, 'paused'::text, 'finished'::text, 'cancelled'::text, 'start_failed'::text]))),
    CONSTRAINT games_visibility_check CHECK ((visibility = ANY (ARRAY['public'::text, 'private'::text])))
);


--
-- Name: geo_forgotten_accounts; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.geo_forgotten_accounts (
    account_id uuid NOT NULL,
    forgotten_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: invitations; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.invitations (
    id uuid NOT NULL,
    game_id uuid NOT NULL,
    inviter_id uuid NOT NULL,
    account_id uuid,
    email_key bytea,
    state text DEFAULT 'pending'::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    answered_at timestamp with time zone,
    request_id text NOT NULL,
    CONSTRAINT invitations_invited_check CHECK (((account_id IS NOT NULL) OR (email_key IS NOT NULL))),
    CONSTRAINT invitations_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'accepted'::text, 'declined'::text, 'withdrawn'::text, 'expired'::text])))
);


--
-- Name: mail_attempts; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.mail_attempts (
    delivery_id uuid NOT NULL,
    attempt_no integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    outcome text NOT NULL,
    smtp_code integer,
    detail text
);


--
-- Name: mail_deliveries; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.mail_deliveries (
    id uuid NOT NULL,
    kind text NOT NULL,
    recipient text,
    message_id text NOT NULL,
    idempotency_key text,
    mime bytea,
    sealed bytea,
    state text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    attempts_before_resend integer DEFAULT 0 NOT NULL,
    lease integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now(),
    claimed_at timestamp with time zone,
    expires_at timestamp with time zone,
    finished_at timestamp with time zone,
    last_error text,
    request_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT mail_deliveries_one_content_check CHECK (((mime IS NULL) OR (sealed IS NULL))),
    CONSTRAINT mail_deliveries_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'retrying'::text, 'sent'::text, 'dead_lettered'::text])))
);
ALTER TABLE ONLY backend.mail_deliveries ALTER COLUMN mime SET STORAGE EXTERNAL;
ALTER TABLE ONLY backend.mail_deliveries ALTER COLUMN sealed SET STORAGE EXTERNAL;


--
-- Name: memberships; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.memberships (
    id uuid NOT NULL,
    game_id uuid NOT NULL,
    account_id uuid,
    seat smallint,
    state text DEFAULT 'enrolled'::text NOT NULL,
    name text NOT NULL,
    machine boolean DEFAULT false NOT NULL,
    joined_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    missed integer DEFAULT 0 NOT NULL,
    missed_in_row integer DEFAULT 0 NOT NULL,
    seen_turn integer DEFAULT '-1'::integer NOT NULL,
    replaced_by uuid,
    request_id text NOT NULL,
    CONSTRAINT memberships_ended_check CHECK (((state = ANY (ARRAY['enrolled'::text, 'playing'::text, 'eliminated'::text])) = (ended_at IS NULL))),
    CONSTRAINT memberships_machine_check CHECK (((NOT machine) OR (account_id IS NULL))),
    CONSTRAINT memberships_state_check CHECK ((state = ANY (ARRAY['enrolled'::text, 'playing'::text, 'eliminated'::text, 'resigned'::text, 'removed'::text, 'replaced'::text, 'finished'::text])))
);


--
-- Name: notification_mutes; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.notification_mutes (
    account_id uuid NOT NULL,
    kind text NOT NULL,
    channel text NOT NULL
);


--
-- Name: notification_routes; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.notification_routes (
    id uuid NOT NULL,
    notification_id uuid NOT NULL,
    kind text NOT NULL,
    account_id uuid,
    channel text NOT NULL,
    read_at timestamp with time zone,
    state text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    attempts_before_resend integer DEFAULT 0 NOT NULL,
    lease integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now(),
    claimed_at timestamp with time zone,
    expires_at timestamp with time zone,
    finished_at timestamp with time zone,
    last_error text,
    request_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT notification_routes_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'retrying'::text, 'sent'::text, 'dead_lettered'::text, 'skipped'::text])))
);


--
-- Name: notifications; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.notifications (
    id uuid NOT NULL,
    kind text NOT NULL,
    idempotency_key text NOT NULL,
    payload jsonb NOT NULL,
    request_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: push_events; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.push_events (
    id bigint NOT NULL,
    seq bigint,
    key uuid,
    account_id uuid,
    session_id uuid,
    kind text NOT NULL,
    payload text NOT NULL,
    request_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    numbered_at timestamp with time zone,
    CONSTRAINT push_events_numbered_check CHECK (((seq IS NULL) = (numbered_at IS NULL))),
    CONSTRAINT push_events_target_check CHECK ((num_nonnulls(account_id, session_id) = 1))
);


--
-- Name: push_events_id_seq; Type: SEQUENCE; Schema: backend; Owner: -
--

ALTER TABLE backend.push_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME backend.push_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: push_state; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.push_state (
    single boolean DEFAULT true NOT NULL,
    last_seq bigint NOT NULL,
    trimmed_seq bigint NOT NULL,
    CONSTRAINT push_state_order_check CHECK ((trimmed_seq <= last_seq)),
    CONSTRAINT push_state_single_check CHECK (single)
);


--
-- Name: runtime_installation; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.runtime_installation (
    one boolean DEFAULT true NOT NULL,
    owner uuid NOT NULL,
    beat_at timestamp with time zone DEFAULT now() NOT NULL,
    time_zones text DEFAULT ''::text NOT NULL,
    CONSTRAINT runtime_installation_one_check CHECK (one)
);


--
-- Name: runtime_operation_log; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.runtime_operation_log (
    id uuid NOT NULL,
    game_id uuid NOT NULL,
    operation text NOT NULL,
    generation integer,
    actor_kind text NOT NULL,
    actor_id uuid,
    input jsonb DEFAULT '{}'::jsonb NOT NULL,
    step text DEFAULT 'recorded'::text NOT NULL,
    taken_up integer DEFAULT 0 NOT NULL,
    lease integer DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    outcome text,
    error_code text,
    error text,
    log_tail text,
    result jsonb,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    request_id text NOT NULL,
    CONSTRAINT runtime_operation_log_finished_check CHECK (((outcome IS NULL) = (finished_at IS NULL))),
    CONSTRAINT runtime_operation_log_outcome_check CHECK ((outcome = ANY (ARRAY['succeeded'::text, 'failed'::text, 'rolled_back'::text, 'superseded'::text])))
);


--
-- Name: runtime_orders; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.runtime_orders (
    game_id uuid NOT NULL,
    epoch integer NOT NULL,
    turn integer NOT NULL,
    seat smallint NOT NULL,
    orders bytea NOT NULL,
    final boolean NOT NULL,
    revision integer NOT NULL,
    account_id uuid,
    submitted_at timestamp with time zone DEFAULT now() NOT NULL,
    request_id text NOT NULL,
    used_digest bytea
);


--
-- Name: runtime_records; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.runtime_records (
    game_id uuid NOT NULL,
    engine_version_id uuid NOT NULL,
    image text NOT NULL,
    digest text,
    seats jsonb NOT NULL,
    options jsonb NOT NULL,
    seed bytea NOT NULL,
    wanted text DEFAULT 'up'::text NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    generation_issued integer DEFAULT 1 NOT NULL,
    status text DEFAULT 'none'::text NOT NULL,
    handle text,
    address text,
    failure text,
    failure_detail text,
    crashes integer DEFAULT 0 NOT NULL,
    not_before timestamp with time zone,
    healthy_since timestamp with time zone,
    unhealthy_since timestamp with time zone,
    used_at timestamp with time zone,
    revision integer DEFAULT 0 NOT NULL,
    engine_lease integer DEFAULT 0 NOT NULL,
    engine_lease_until timestamp with time zone,
    schedule jsonb NOT NULL,
    anchor timestamp with time zone,
    run_when_final boolean DEFAULT false NOT NULL,
    policy text DEFAULT 'fixed'::text NOT NULL,
    policy_options jsonb DEFAULT '{}'::jsonb NOT NULL,
    playing boolean DEFAULT false NOT NULL,
    ended boolean DEFAULT false NOT NULL,
    next_turn_at timestamp with time zone,
    due_at timestamp with time zone,
    remind_at timestamp with time zone,
    remaining interval,
    skip_next boolean DEFAULT false NOT NULL,
    trigger text DEFAULT 'scheduled'::text NOT NULL,
    final_seat smallint,
    turn integer DEFAULT 0 NOT NULL,
    epoch integer DEFAULT 0 NOT NULL,
    awaiting smallint[] DEFAULT '{}'::smallint[] NOT NULL,
    phase text,
    orders_closed_at timestamp with time zone,
    order_lease integer DEFAULT 0 NOT NULL,
    order_lease_until timestamp with time zone,
    turn_lease integer DEFAULT 0 NOT NULL,
    turn_claimed_at timestamp with time zone,
    turn_attempts integer DEFAULT 0 NOT NULL,
    turn_failure text,
    postponed integer DEFAULT 0 NOT NULL,
    made_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    request_id text NOT NULL,
    tick_at timestamp with time zone,
    sent smallint[] DEFAULT '{}'::smallint[] NOT NULL,
    final smallint[] DEFAULT '{}'::smallint[] NOT NULL,
    absent smallint[],
    CONSTRAINT runtime_records_generation_check CHECK ((generation <= generation_issued)),
    CONSTRAINT runtime_records_playing_check CHECK (((NOT playing) OR (next_turn_at IS NOT NULL))),
    CONSTRAINT runtime_records_status_check CHECK ((status = ANY (ARRAY['none'::text, 'pulling'::text, 'starting'::text, 'healthy'::text, 'unhealthy'::text, 'crashed'::text, 'failed'::text]))),
    CONSTRAINT runtime_records_wanted_check CHECK ((wanted = ANY (ARRAY['up'::text, 'idle'::text, 'down'::text])))
);


--
-- Name: runtime_reports; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.runtime_reports (
    turn_id uuid NOT NULL,
    seat smallint NOT NULL,
    game_id uuid NOT NULL,
    turn integer NOT NULL,
    report bytea NOT NULL
);


--
-- Name: runtime_turns; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.runtime_turns (
    id uuid NOT NULL,
    game_id uuid NOT NULL,
    turn integer NOT NULL,
    epoch integer DEFAULT 0 NOT NULL,
    state bytea,
    state_digest bytea NOT NULL,
    public_report bytea,
    awaiting smallint[] NOT NULL,
    phase text,
    eliminated smallint[] NOT NULL,
    finished boolean NOT NULL,
    result jsonb,
    trigger text NOT NULL,
    due_at timestamp with time zone,
    claimed_at timestamp with time zone,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    duration_ms integer,
    seed text NOT NULL,
    absent smallint[] DEFAULT '{}'::smallint[] NOT NULL,
    vacant smallint[] DEFAULT '{}'::smallint[] NOT NULL,
    missed_ticks integer DEFAULT 0 NOT NULL,
    orders_digest bytea,
    engine_version_id uuid NOT NULL,
    generation integer NOT NULL,
    request_id text NOT NULL,
    superseded_at timestamp with time zone,
    CONSTRAINT runtime_turns_trigger_check CHECK ((trigger = ANY (ARRAY['start'::text, 'scheduled'::text, 'forced'::text, 'final'::text])))
);


--
-- Name: singleton_terms; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.singleton_terms (
    name text NOT NULL,
    term bigint NOT NULL,
    begun_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: user_country_counters; Type: TABLE; Schema: backend; Owner: -
--

CREATE TABLE backend.user_country_counters (
    account_id uuid NOT NULL,
    country text NOT NULL,
    requests bigint NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    CONSTRAINT user_country_counters_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT user_country_counters_requests_check CHECK ((requests > 0))
);


--
-- Data for Name: accounts; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.accounts VALUES ('01a22245-b12e-7543-b151-5dd9b3e504bf', 'ada@example.test', 'ada@example.test', 'Player-VW6G', 'de', 'UTC', NULL, '2026-11-28 13:08:42.41424+00', NULL, NULL, NULL);


--
-- Data for Name: admin_accounts; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: admin_audit_log; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: admin_channel; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.admin_channel VALUES (true, true, NULL);


--
-- Data for Name: alembic_version_admin; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_admin VALUES ('admin_0001');


--
-- Data for Name: alembic_version_adminchannel; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_adminchannel VALUES ('adminchannel_0001');


--
-- Data for Name: alembic_version_auth; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_auth VALUES ('auth_0001');


--
-- Data for Name: alembic_version_engineversion; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_engineversion VALUES ('engineversion_0001');


--
-- Data for Name: alembic_version_geo; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_geo VALUES ('geo_0001');


--
-- Data for Name: alembic_version_kernel; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_kernel VALUES ('kernel_0002');


--
-- Data for Name: alembic_version_lobby; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_lobby VALUES ('lobby_0001');


--
-- Data for Name: alembic_version_mail; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_mail VALUES ('mail_0001');


--
-- Data for Name: alembic_version_notification; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_notification VALUES ('notification_0001');


--
-- Data for Name: alembic_version_push; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_push VALUES ('push_0001');


--
-- Data for Name: alembic_version_runtime; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_runtime VALUES ('runtime_0003');


--
-- Data for Name: alembic_version_user; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.alembic_version_user VALUES ('user_0001');


--
-- Data for Name: auth_challenges; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.auth_challenges VALUES ('c35f64e8-d9a6-45a6-8a30-4246d7ad8179', 'ada@example.test', NULL, '\x3e24529234e107288b07c2534d9c48cd5b757e60239a66b91ad733a04b224752', '\xabedd4087a4899208c527c8f624d5df75e209ea5a44b30fae856ab27ef6ab574', '\x2db265c23f66c6085cb53b19828c75aa776dcba0b7c4ca3ccbba0ad31efeb36b', 1, '2026-11-28 13:08:38.743703+00', '2026-11-28 13:13:38.743703+00', '2026-11-28 13:08:42.406787+00');


--
-- Data for Name: device_sessions; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.device_sessions VALUES ('01a22245-b13e-7120-8f1f-1974330f1c3c', '01a22245-b12e-7543-b151-5dd9b3e504bf', '\xd341734abfba5a68ce893b1ae66dc110d58037a1b56d384388bf03dfed06780b', 'Unknown device', '2026-11-28 13:08:42.430673+00', '2026-11-28 13:08:42.430673+00', '2027-02-26 13:08:42.430673+00');


--
-- Data for Name: engine_versions; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: facts; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: feed_changes; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.feed_changes OVERRIDING SYSTEM VALUE VALUES (1, '752', '752', 'user', 'u:01a22245-b12e-7543-b151-5dd9b3e504bf', '{"id":"01a22245-b12e-7543-b151-5dd9b3e504bf","email":"ada@example.test","display_name":"Player-VW6G","language":"de","time_zone":"UTC","declared_country":null,"created_at":"2026-11-28T13:08:42.414240Z","blocked_at":null,"deleted_at":null}', '01a22245-b126-71a2-86ce-7d705a167edc', '2026-11-28 13:08:42.42981+00');
INSERT INTO backend.feed_changes OVERRIDING SYSTEM VALUE VALUES (2, '752', '752', 'auth', 'b:d341734abfba5a68ce893b1ae66dc110d58037a1b56d384388bf03dfed06780b', '{"id":"01a22245-b13e-7120-8f1f-1974330f1c3c","account_id":"01a22245-b12e-7543-b151-5dd9b3e504bf","token_hash":"00FzSr+6WmjOiTsa5m3BENWAN6G1bThDiL8D3+0GeAs=","device_name":"Unknown device","created_at":"2026-11-28T13:08:42.430673Z","last_seen_at":"2026-11-28T13:08:42.430673Z","expires_at":"2027-02-26T13:08:42.430673Z"}', '01a22245-b126-71a2-86ce-7d705a167edc', '2026-11-28 13:08:42.433819+00');


--
-- Data for Name: games; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: geo_forgotten_accounts; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: invitations; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: mail_attempts; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.mail_attempts VALUES ('01a22245-a2e1-7337-8680-6552b5ab32b7', 1, '2026-11-28 13:08:38.857297+00', '2026-11-28 13:08:38.876711+00', 'sent', 250, '2.0.0 kept');


--
-- Data for Name: mail_deliveries; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.mail_deliveries VALUES ('01a22245-a2e1-7337-8680-6552b5ab32b7', 'auth.sign_in_code', 'ada@example.test', '<01a22245-a2e1-7337-8680-6552b5ab32b7@example.test>', 'c35f64e8-d9a6-45a6-8a30-4246d7ad8179', NULL, NULL, 'sent', 1, 0, 1, NULL, NULL, '2026-11-28 13:13:38.743703+00', '2026-11-28 13:08:38.877045+00', NULL, '01a22245-a2d7-7777-95a7-56e34eb59468', '2026-11-28 13:08:38.74485+00');


--
-- Data for Name: memberships; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: notification_mutes; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: notification_routes; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: notifications; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: push_events; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: push_state; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.push_state VALUES (true, 1795871315317445, 1795871315317445);


--
-- Data for Name: runtime_installation; Type: TABLE DATA; Schema: backend; Owner: -
--

INSERT INTO backend.runtime_installation VALUES (true, '7371af08-ad98-4f65-9886-93bb308344bd', '2026-11-28 13:08:41.738213+00', '2025b');


--
-- Data for Name: runtime_operation_log; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: runtime_orders; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: runtime_records; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: runtime_reports; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: runtime_turns; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: singleton_terms; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Data for Name: user_country_counters; Type: TABLE DATA; Schema: backend; Owner: -
--



--
-- Name: feed_changes_id_seq; Type: SEQUENCE SET; Schema: backend; Owner: -
--

SELECT pg_catalog.setval('backend.feed_changes_id_seq', 2, true);


--
-- Name: push_events_id_seq; Type: SEQUENCE SET; Schema: backend; Owner: -
--

SELECT pg_catalog.setval('backend.push_events_id_seq', 1, false);


--
-- Name: accounts accounts_email_folded_key; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.accounts
    ADD CONSTRAINT accounts_email_folded_key UNIQUE (email_folded);


--
-- Name: accounts accounts_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (id);


--
-- Name: admin_accounts admin_accounts_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.admin_accounts
    ADD CONSTRAINT admin_accounts_pkey PRIMARY KEY (id);


--
-- Name: admin_accounts admin_accounts_username_folded_key; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.admin_accounts
    ADD CONSTRAINT admin_accounts_username_folded_key UNIQUE (username_folded);


--
-- Name: admin_audit_log admin_audit_log_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.admin_audit_log
    ADD CONSTRAINT admin_audit_log_pkey PRIMARY KEY (id);


--
-- Name: admin_channel admin_channel_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.admin_channel
    ADD CONSTRAINT admin_channel_pkey PRIMARY KEY (sole);


--
-- Name: alembic_version_admin alembic_version_admin_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_admin
    ADD CONSTRAINT alembic_version_admin_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_adminchannel alembic_version_adminchannel_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_adminchannel
    ADD CONSTRAINT alembic_version_adminchannel_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_auth alembic_version_auth_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_auth
    ADD CONSTRAINT alembic_version_auth_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_engineversion alembic_version_engineversion_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_engineversion
    ADD CONSTRAINT alembic_version_engineversion_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_geo alembic_version_geo_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_geo
    ADD CONSTRAINT alembic_version_geo_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_kernel alembic_version_kernel_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_kernel
    ADD CONSTRAINT alembic_version_kernel_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_lobby alembic_version_lobby_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_lobby
    ADD CONSTRAINT alembic_version_lobby_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_mail alembic_version_mail_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_mail
    ADD CONSTRAINT alembic_version_mail_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_notification alembic_version_notification_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_notification
    ADD CONSTRAINT alembic_version_notification_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_push alembic_version_push_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_push
    ADD CONSTRAINT alembic_version_push_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_runtime alembic_version_runtime_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_runtime
    ADD CONSTRAINT alembic_version_runtime_pkc PRIMARY KEY (version_num);


--
-- Name: alembic_version_user alembic_version_user_pkc; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.alembic_version_user
    ADD CONSTRAINT alembic_version_user_pkc PRIMARY KEY (version_num);


--
-- Name: auth_challenges auth_challenges_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.auth_challenges
    ADD CONSTRAINT auth_challenges_pkey PRIMARY KEY (id);


--
-- Name: device_sessions device_sessions_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.device_sessions
    ADD CONSTRAINT device_sessions_pkey PRIMARY KEY (id);


--
-- Name: device_sessions device_sessions_token_hash_key; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.device_sessions
    ADD CONSTRAINT device_sessions_token_hash_key UNIQUE (token_hash);


--
-- Name: engine_versions engine_versions_engine_version_key; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.engine_versions
    ADD CONSTRAINT engine_versions_engine_version_key UNIQUE (engine, version);


--
-- Name: engine_versions engine_versions_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.engine_versions
    ADD CONSTRAINT engine_versions_pkey PRIMARY KEY (id);


--
-- Name: facts facts_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.facts
    ADD CONSTRAINT facts_pkey PRIMARY KEY (id);


--
-- Name: feed_changes feed_changes_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.feed_changes
    ADD CONSTRAINT feed_changes_pkey PRIMARY KEY (id);


--
-- Name: games games_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.games
    ADD CONSTRAINT games_pkey PRIMARY KEY (id);


--
-- Name: geo_forgotten_accounts geo_forgotten_accounts_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.geo_forgotten_accounts
    ADD CONSTRAINT geo_forgotten_accounts_pkey PRIMARY KEY (account_id);


--
-- Name: invitations invitations_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (id);


--
-- Name: mail_attempts mail_attempts_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.mail_attempts
    ADD CONSTRAINT mail_attempts_pkey PRIMARY KEY (delivery_id, attempt_no);


--
-- Name: mail_deliveries mail_deliveries_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.mail_deliveries
    ADD CONSTRAINT mail_deliveries_pkey PRIMARY KEY (id);


--
-- Name: memberships memberships_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (id);


--
-- Name: notification_mutes notification_mutes_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.notification_mutes
    ADD CONSTRAINT notification_mutes_pkey PRIMARY KEY (account_id, kind, channel);


--
-- Name: notification_routes notification_routes_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.notification_routes
    ADD CONSTRAINT notification_routes_pkey PRIMARY KEY (id);


--
-- Name: notifications notifications_kind_idempotency_key_key; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.notifications
    ADD CONSTRAINT notifications_kind_idempotency_key_key UNIQUE (kind, idempotency_key);


--
-- Name: notifications notifications_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.notifications
    ADD CONSTRAINT notifications_pkey PRIMARY KEY (id);


--
-- Name: push_events push_events_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.push_events
    ADD CONSTRAINT push_events_pkey PRIMARY KEY (id);


--
-- Name: push_events push_events_seq_key; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.push_events
    ADD CONSTRAINT push_events_seq_key UNIQUE (seq);


--
-- Name: push_state push_state_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.push_state
    ADD CONSTRAINT push_state_pkey PRIMARY KEY (single);


--
-- Name: runtime_installation runtime_installation_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.runtime_installation
    ADD CONSTRAINT runtime_installation_pkey PRIMARY KEY (one);


--
-- Name: runtime_operation_log runtime_operation_log_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.runtime_operation_log
    ADD CONSTRAINT runtime_operation_log_pkey PRIMARY KEY (id);


--
-- Name: runtime_orders runtime_orders_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.runtime_orders
    ADD CONSTRAINT runtime_orders_pkey PRIMARY KEY (game_id, epoch, turn, seat);


--
-- Name: runtime_records runtime_records_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.runtime_records
    ADD CONSTRAINT runtime_records_pkey PRIMARY KEY (game_id);


--
-- Name: runtime_reports runtime_reports_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.runtime_reports
    ADD CONSTRAINT runtime_reports_pkey PRIMARY KEY (turn_id, seat);


--
-- Name: runtime_turns runtime_turns_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.runtime_turns
    ADD CONSTRAINT runtime_turns_pkey PRIMARY KEY (id);


--
-- Name: singleton_terms singleton_terms_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.singleton_terms
    ADD CONSTRAINT singleton_terms_pkey PRIMARY KEY (name);


--
-- Name: user_country_counters user_country_counters_pkey; Type: CONSTRAINT; Schema: backend; Owner: -
--

ALTER TABLE ONLY backend.user_country_counters
    ADD CONSTRAINT user_country_counters_pkey PRIMARY KEY (account_id, country);


--
-- Name: admin_audit_log_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX admin_audit_log_at_idx ON backend.admin_audit_log USING btree (at);


--
-- Name: admin_audit_log_username_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX admin_audit_log_username_at_idx ON backend.admin_audit_log USING btree (username, at);


--
-- Name: auth_challenges_address_key_created_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX auth_challenges_address_key_created_at_idx ON backend.auth_challenges USING btree (address_key, created_at);


--
-- Name: auth_challenges_client_key_created_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX auth_challenges_client_key_created_at_idx ON backend.auth_challenges USING btree (client_key, created_at);


--
-- Name: auth_challenges_created_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX auth_challenges_created_at_idx ON backend.auth_challenges USING btree (created_at);


--
-- Name: device_sessions_account_id_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX device_sessions_account_id_idx ON backend.device_sessions USING btree (account_id);


--
-- Name: engine_versions_check_requested_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX engine_versions_check_requested_at_idx ON backend.engine_versions USING btree (check_requested_at) WHERE (check_requested_at IS NOT NULL);


--
-- Name: facts_listener_next_attempt_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX facts_listener_next_attempt_at_idx ON backend.facts USING btree (listener, next_attempt_at);


--
-- Name: feed_changes_xid_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX feed_changes_xid_idx ON backend.feed_changes USING btree (xid);


--
-- Name: games_client_key_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE UNIQUE INDEX games_client_key_idx ON backend.games USING btree (owner_id, client_key) WHERE (client_key IS NOT NULL);


--
-- Name: games_engine_version_id_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX games_engine_version_id_idx ON backend.games USING btree (engine_version_id);


--
-- Name: games_open_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX games_open_idx ON backend.games USING btree (state_changed_at, id) WHERE ((visibility = 'public'::text) AND (state = 'enrolling'::text));


--
-- Name: games_owner_id_created_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX games_owner_id_created_at_idx ON backend.games USING btree (owner_id, created_at);


--
-- Name: invitations_account_id_state_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX invitations_account_id_state_idx ON backend.invitations USING btree (account_id, state);


--
-- Name: invitations_account_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE UNIQUE INDEX invitations_account_idx ON backend.invitations USING btree (game_id, account_id) WHERE ((state = 'pending'::text) AND (account_id IS NOT NULL));


--
-- Name: invitations_email_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE UNIQUE INDEX invitations_email_idx ON backend.invitations USING btree (game_id, email_key) WHERE ((state = 'pending'::text) AND (account_id IS NULL));


--
-- Name: invitations_email_key_state_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX invitations_email_key_state_idx ON backend.invitations USING btree (email_key, state);


--
-- Name: invitations_expiry_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX invitations_expiry_idx ON backend.invitations USING btree (expires_at) WHERE (state = 'pending'::text);


--
-- Name: invitations_inviter_id_created_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX invitations_inviter_id_created_at_idx ON backend.invitations USING btree (inviter_id, created_at);


--
-- Name: mail_deliveries_dead_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX mail_deliveries_dead_idx ON backend.mail_deliveries USING btree (id) WHERE (state = 'dead_lettered'::text);


--
-- Name: mail_deliveries_due_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX mail_deliveries_due_idx ON backend.mail_deliveries USING btree (next_attempt_at) WHERE (state = ANY (ARRAY['pending'::text, 'retrying'::text]));


--
-- Name: mail_deliveries_expiring_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX mail_deliveries_expiring_idx ON backend.mail_deliveries USING btree (expires_at) WHERE ((state = ANY (ARRAY['pending'::text, 'retrying'::text])) AND (expires_at IS NOT NULL));


--
-- Name: mail_deliveries_idempotency_key; Type: INDEX; Schema: backend; Owner: -
--

CREATE UNIQUE INDEX mail_deliveries_idempotency_key ON backend.mail_deliveries USING btree (kind, idempotency_key) WHERE (idempotency_key IS NOT NULL);


--
-- Name: mail_deliveries_recipient_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX mail_deliveries_recipient_idx ON backend.mail_deliveries USING btree (lower(recipient));


--
-- Name: mail_deliveries_unwiped_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX mail_deliveries_unwiped_idx ON backend.mail_deliveries USING btree (expires_at) WHERE ((state = 'dead_lettered'::text) AND (sealed IS NOT NULL));


--
-- Name: memberships_account_id_state_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX memberships_account_id_state_idx ON backend.memberships USING btree (account_id, state);


--
-- Name: memberships_game_id_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX memberships_game_id_idx ON backend.memberships USING btree (game_id);


--
-- Name: memberships_player_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE UNIQUE INDEX memberships_player_idx ON backend.memberships USING btree (game_id, account_id) WHERE ((state = ANY (ARRAY['enrolled'::text, 'playing'::text, 'eliminated'::text])) AND (account_id IS NOT NULL));


--
-- Name: memberships_seat_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE UNIQUE INDEX memberships_seat_idx ON backend.memberships USING btree (game_id, seat) WHERE (state = ANY (ARRAY['playing'::text, 'eliminated'::text]));


--
-- Name: notification_routes_account_id_notification_id_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX notification_routes_account_id_notification_id_idx ON backend.notification_routes USING btree (account_id, notification_id);


--
-- Name: notification_routes_dead_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX notification_routes_dead_idx ON backend.notification_routes USING btree (notification_id) WHERE (state = 'dead_lettered'::text);


--
-- Name: notification_routes_due_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX notification_routes_due_idx ON backend.notification_routes USING btree (next_attempt_at) WHERE (state = ANY (ARRAY['pending'::text, 'retrying'::text]));


--
-- Name: notification_routes_expiring_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX notification_routes_expiring_idx ON backend.notification_routes USING btree (expires_at) WHERE ((state = ANY (ARRAY['pending'::text, 'retrying'::text])) AND (expires_at IS NOT NULL));


--
-- Name: notification_routes_notification_id_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX notification_routes_notification_id_idx ON backend.notification_routes USING btree (notification_id);


--
-- Name: notifications_created_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX notifications_created_at_idx ON backend.notifications USING btree (created_at);


--
-- Name: push_events_account_id_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX push_events_account_id_idx ON backend.push_events USING btree (account_id) WHERE (account_id IS NOT NULL);


--
-- Name: push_events_id_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX push_events_id_idx ON backend.push_events USING btree (id) WHERE (seq IS NULL);


--
-- Name: push_events_key_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE UNIQUE INDEX push_events_key_idx ON backend.push_events USING btree (key) WHERE (key IS NOT NULL);


--
-- Name: push_events_session_id_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX push_events_session_id_idx ON backend.push_events USING btree (session_id) WHERE (session_id IS NOT NULL);


--
-- Name: runtime_operation_log_due_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX runtime_operation_log_due_idx ON backend.runtime_operation_log USING btree (lease_until) WHERE (finished_at IS NULL);


--
-- Name: runtime_operation_log_game_id_started_at_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX runtime_operation_log_game_id_started_at_idx ON backend.runtime_operation_log USING btree (game_id, started_at);


--
-- Name: runtime_operation_log_open_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE UNIQUE INDEX runtime_operation_log_open_idx ON backend.runtime_operation_log USING btree (game_id) WHERE (finished_at IS NULL);


--
-- Name: runtime_records_due_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX runtime_records_due_idx ON backend.runtime_records USING btree (next_turn_at) WHERE playing;


--
-- Name: runtime_records_remind_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX runtime_records_remind_idx ON backend.runtime_records USING btree (remind_at) WHERE (playing AND (remind_at IS NOT NULL));


--
-- Name: runtime_records_used_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX runtime_records_used_idx ON backend.runtime_records USING btree (used_at) WHERE (wanted = 'up'::text);


--
-- Name: runtime_records_waiting_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX runtime_records_waiting_idx ON backend.runtime_records USING btree (not_before) WHERE ((wanted = 'up'::text) AND (status <> 'healthy'::text));


--
-- Name: runtime_reports_game_id_seat_turn_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE INDEX runtime_reports_game_id_seat_turn_idx ON backend.runtime_reports USING btree (game_id, seat, turn);


--
-- Name: runtime_turns_position_idx; Type: INDEX; Schema: backend; Owner: -
--

CREATE UNIQUE INDEX runtime_turns_position_idx ON backend.runtime_turns USING btree (game_id, turn) WHERE (superseded_at IS NULL);


--
-- PostgreSQL database dump complete
--

\unrestrict TsF4GrrMh5hkFeQyjmCkXkAIIhaILrfZn4Y0ExnpPJ84D5orqVwBYrI50IEtDKR

