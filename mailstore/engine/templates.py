"""The text of Dovecot 2.3's configuration, with the reason for each option that needs one."""

from string import Template

from mailstore.guard import HEADER
from mailstore.guard.attempts import ATTRIBUTES

_DOVECOT = Template(r"""# Rendered by Restante. Changes made here are lost at the next start.
base_dir = $run
state_dir = $folder/state
instance_name = restante
protocols = imap pop3 lmtp
listen = $listen
hostname = $host_name

# One unprivileged user runs everything, so nothing here can become root, and every login
# service must stay outside of a chroot, which only root could enter.
default_internal_user = $user
default_internal_group = $group
default_login_user = $user
mail_uid = $user
mail_gid = $group
first_valid_uid = 1

log_path = $log
# The panel reads this file, so the time has one form and one zone.
log_timestamp = "%Y-%m-%dT%H:%M:%S "
import_environment = TZ=UTC
# Session, address and device tell who removed mail; nothing a person chose stands before them.
mail_log_prefix = "%s(%u)<%{pid}><%{session}><%{rip}><%{userdb:device}>: "
# A name that somebody typed comes last, so nothing in it is taken for what Dovecot says, and is
# cut at 77 letters; that of the mailbox stands there whole, after the right password only. What
# follows the session is the same for a program that comes again.
login_log_format_elements = \
  session=<%{session}> rip=%r device=<%{passdb:device}> why=<%{passdb:reason}> \
  mailbox=<%{passdb:user}> %c user=<%u>
# One line for each wrong password, also where several are tried in one connection.
auth_verbose = yes

ssl = yes
ssl_cert = <$certificate
ssl_key = <$key
# Passwords without TLS are accepted from this machine only.
disable_plaintext_auth = yes
auth_mechanisms = plain login
# A wrong password waits this long. The penalty that grows by address is off below: behind one
# router it would make the right password of one person wait for another person's wrong one.
auth_failure_delay = $failure_delay_seconds secs
$guard
mail_home = $mail_root/%u
mail_location = sdbox:~/mail
mail_plugins = quota lazy_expunge quota_clone acl notify mail_log

service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  chroot =
}
# One process serves many connections: the default of one process for each TLS session ends at
# one hundred sessions.
service imap-login {
  chroot =
  service_count = 0
  process_min_avail = 1
  client_limit = 4000
  inet_listener imap {
    port = $imap_port
  }
  inet_listener imaps {
    port = $imaps_port
    ssl = yes
  }
}
service pop3-login {
  chroot =
  service_count = 0
  process_min_avail = 1
  client_limit = 4000
  inet_listener pop3 {
    port = $pop3_port
  }
  inet_listener pop3s {
    port = $pop3s_port
    ssl = yes
  }
}
# One process for each client would have SQLite's writers wait for each other, and PostgreSQL hold
# a connection for each of them.
service dict {
  process_min_avail = 1
  client_limit = 1000
}
service lmtp {
  user = $user
  process_min_avail = 1
  inet_listener lmtp {
    address = $lmtp_host
    port = $lmtp_port
  }
}
# A process that stays answers four times as many calls as one made for each.
service doveadm {
  service_count = 0
  process_min_avail = 2
  inet_listener http {
    address = $doveadm_host
    port = $doveadm_port
  }
}
doveadm_api_key = $doveadm_api_key

!include auth.conf

namespace inbox {
  inbox = yes
  separator = /
  # The mailbox's own row says whether these make themselves: for IMAP yes, for POP no.
  mailbox Sent {
    special_use = \Sent
    auto = subscribe
  }
  mailbox Drafts {
    special_use = \Drafts
    auto = subscribe
  }
  mailbox Junk {
    special_use = \Junk
    auto = subscribe
  }
  mailbox Trash {
    special_use = \Trash
    auto = subscribe
  }
  mailbox Archive {
    special_use = \Archive
    auto = subscribe
  }
}
# What a program removes goes here, below the name of the folder it was in. No program sees it.
namespace expunged {
  prefix = .EXPUNGED/
  separator = /
  location = sdbox:~/expunged
  hidden = yes
  list = no
  subscriptions = no
}

# Both protocols tell in the same words what a session did with messages; the panel reads that,
# and of POP how many bytes went out for it. What else follows is for people.
protocol imap {
  imap_logout_format = fetched=%{fetch_body_count} glanced=%{fetch_hdr_count} \
    removed=%{expunged}; deleted=%{deleted} trashed=%{trashed} in=%i out=%o
  mail_plugins = quota lazy_expunge quota_clone acl notify mail_log imap_quota last_login
  mail_max_userip_connections = 30
}
protocol pop3 {
  pop3_logout_format = fetched=%r glanced=%t removed=%d; top=%t/%p, retr=%r/%b, del=%d/%m, size=%s
  mail_plugins = quota lazy_expunge quota_clone acl notify mail_log last_login
  mail_max_userip_connections = 10
  # A message keeps its identifier through restarts and for every copy that is left.
  pop3_uidl_format = %08Xu%08Xv
}
protocol lmtp {
  mail_plugins = quota lazy_expunge quota_clone
  postmaster_address = postmaster@$host_name
}

plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:storage=1G
  quota_rule2 = .EXPUNGED/*:ignore
  # The limit is exact: not even the last message may go beyond it.
  quota_grace = 0
  quota_exceeded_message = Mailbox is full.
  quota_clone_dict = proxy::usage
  last_login_dict = proxy::lastlogin
  last_login_key = last-login/%u/%s/%{userdb:device}/%{rip}
  # The slash at the end keeps the name of the folder of origin.
  lazy_expunge = .EXPUNGED/
  # The mailbox's own row names another file while its mail can only be read.
  acl = vfile:$conf/acl-all
  acl_globals_only = yes
  # A copy into the store is a removal, and a folder with another name has other rules. What was
  # written in a message does not concern the log.
  mail_log_events = copy mailbox_delete mailbox_rename
  mail_log_fields = uid box size
}
# What the panel removes goes to the store too, and only what it removes from there is gone.
# Its warnings reach a mailbox that is full. Receipts say what it removed, so it logs nothing.
protocol doveadm {
  mail_plugins = quota lazy_expunge quota_clone
  plugin {
    quota = count:User quota:noenforcing
    # Of what the panel moves no second copy is kept. Of what a program expunges one always is:
    # two sessions that expunge two copies at once would each take the other's for what is left.
    lazy_expunge_only_last_instance = yes
  }
}

dict {
  usage = $dict_driver:$conf/dict-usage.conf.ext
  lastlogin = $dict_driver:$conf/dict-lastlogin.conf.ext
}
""")

# Asked before a password is looked at, and told how it ended. What it answers after the right one
# would come too late to spare the work, so it is not asked a second time. While it is away, people
# sign in as if there were none: its figures are worth less than their mail. Of many guesses at once
# Dovecot asks about a hundred and has the others wait, and whoever waits for too long is let on
# unasked as well; so that is far longer than the guard takes for as many as anybody sends at once.
GUARD = Template(
    rf"""auth_policy_server_url = $url
auth_policy_server_api_header = {HEADER}:$key
auth_policy_server_timeout_msecs = 30000
auth_policy_hash_nonce = $nonce
# All of the digest: a short one would take different guesses for the same.
auth_policy_hash_truncate = 0
auth_policy_check_before_auth = yes
auth_policy_check_after_auth = no
auth_policy_report_after_auth = yes
auth_policy_reject_on_fail = no
auth_policy_request_attributes = {ATTRIBUTES}
# It is found by name.
service dns-client {{
  chroot =
}}
"""
)

_AUTH = Template(r"""# An app password first, then the mailbox password. A miss in it is none.
passdb apppassword {
  driver = sql
  args = $conf/sql-app-password.conf.ext
  result_success = return-ok
  result_failure = continue
  result_internalfail = continue
}
passdb mailbox {
  driver = sql
  args = $conf/sql-mailbox.conf.ext
}
userdb {
  driver = sql
  args = $conf/sql-mailbox.conf.ext
}
""")

_QUERY_FIRST = (
    "password_query = SELECT username AS user, NULL AS password, 'y' AS nopassword, device, "
    "allow_nets, nologin, reason FROM dovecot_app_password WHERE username = '%u' AND proto = '%s' "
    "AND digest = '%{sha256:password}'\n"
)
# LMTP asks for those that receive only; the admin API must reach all, or nobody could
# clear a mailbox that is being closed. For LMTP, `tempfail` answers 4xx with the reason, so that
# mail waits at its sender; the admin API and those who read are not concerned by it.
# Each message takes a file and at least one block of the disk, however small it is; so for each KiB
# of the limit there may be one message, and some more.
_QUERIES_MAILBOX = (
    "default_pass_scheme = ARGON2ID\n"
    "password_query = SELECT username AS user, password, nologin, reason FROM dovecot_passdb "
    "WHERE username = '%u' AND proto = '%s'\n"
    "user_query = SELECT '$mail_root/' || home AS home, "
    "quota_rule || ':messages=' || (CAST(substr(quota_rule, 9) AS bigint) / 1024 + 1000) "
    "AS quota_rule, "
    'auto_folders AS "namespace/inbox/mailbox/Sent/auto", '
    'auto_folders AS "namespace/inbox/mailbox/Drafts/auto", '
    'auto_folders AS "namespace/inbox/mailbox/Junk/auto", '
    'auto_folders AS "namespace/inbox/mailbox/Trash/auto", '
    'auto_folders AS "namespace/inbox/mailbox/Archive/auto", '
    "quota_full_tempfail, '%{passdb:device:-}' AS device, "
    "'vfile:$conf/acl-' || rights AS acl, "
    "CASE WHEN '%s' = 'lmtp' AND put_off IS NOT NULL THEN 'y' END AS tempfail, "
    "CASE WHEN '%s' = 'lmtp' THEN put_off END AS reason FROM dovecot_userdb "
    "WHERE username = '%u' AND (receives = 'y' OR '%s' <> 'lmtp')\n"
    "iterate_query = SELECT username AS user FROM dovecot_userdb\n"
)
_MAP_USAGE = """map {
  pattern = priv/quota/storage
  table = mailstore_usage
  username_field = username
  value_field = bytes
  value_type = uint
}
map {
  pattern = priv/quota/messages
  table = mailstore_usage
  username_field = username
  value_field = messages
  value_type = uint
}
"""
_MAP_LAST_LOGIN = """map {
  pattern = shared/last-login/$$user/$$proto/$$device/$$address
  table = mailstore_lastlogin
  value_field = last_login
  value_type = uint
  fields {
    username = $$user
    proto = $$proto
    device = $$device
    address = $$address
  }
}
"""
_NO_STORE = "".join(
    f"{name} {who}\n" for name in (".EXPUNGED", ".EXPUNGED/*") for who in ("owner", "anyone")
)

COMMON = {
    "dovecot.conf": _DOVECOT,
    "auth.conf": _AUTH,
    # No rights for anybody in the store: it cannot be listed, opened or removed. Its root is a
    # folder as well, where mail would count towards no limit; and whoever may make folders there
    # may make them below it.
    "acl-all": Template(_NO_STORE),
    # Look up and read: no flags, no new mail, no removal, no folders made or renamed.
    "acl-read-only": Template(_NO_STORE + "* owner lr\n"),
}
SQLITE = {
    "sql-app-password.conf.ext": Template(
        "driver = sqlite\nconnect = $panel\n" + _QUERY_FIRST,
    ),
    "sql-mailbox.conf.ext": Template("driver = sqlite\nconnect = $panel\n" + _QUERIES_MAILBOX),
    "dict-usage.conf.ext": Template("connect = $reports\n" + _MAP_USAGE),
    "dict-lastlogin.conf.ext": Template("connect = $reports\n" + _MAP_LAST_LOGIN),
}
POSTGRESQL = {
    "sql-app-password.conf.ext": Template(
        "driver = pgsql\nconnect = $connect maxconns=4\n" + _QUERY_FIRST,
    ),
    "sql-mailbox.conf.ext": Template(
        "driver = pgsql\nconnect = $connect maxconns=4\n" + _QUERIES_MAILBOX,
    ),
    "dict-usage.conf.ext": Template("connect = $connect\n" + _MAP_USAGE),
    "dict-lastlogin.conf.ext": Template("connect = $connect\n" + _MAP_LAST_LOGIN),
}
