"""Secrets of every kind go through every door, and stand nowhere but where they belong.

The whole program runs as `bin/run` starts it. Each secret is told apart, so that one that is found
names the door it came through.
"""

from __future__ import annotations

import base64
import contextlib
import imaplib
import poplib
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from django_otp.oath import totp

from tests.live.canaries import Canaries, ProcessWatch, files, shapes
from tests.live.test_stack import READY, ROOT, Launcher, free_ports
from tests.patience import PATIENCE_SECONDS, eventually

EMAIL = "dora@canary.test"
# Where a secret is kept on purpose: the path below the state folder, and whose may stand there.
BELONGS = {
    "dovecot/conf/": {"doveadm key"},
    # The link that lets somebody in travels by letter, and without a relay letters are files.
    "sent/": {"invitation token", "sign-up token"},
    # Sessions are looked up by their keys.
    "panel.sqlite3": {"session key", "session key after the factor"},
    "panel.sqlite3-wal": {"session key", "session key after the factor"},
}


class House:
    """The running program, and a browser with a person in it."""

    def __init__(self, state, canaries):
        self.state, self.canaries = state, canaries
        ports = free_ports()
        self.ports = {name: int(port) for name, port in ports.items()}
        self.url = f"http://127.0.0.1:{ports['PANEL_PORT']}"
        given = {
            "SECRET_KEY": canaries.new("SECRET_KEY"),
            "DOVEADM_API_KEY": canaries.new("doveadm key"),
            "STRIPE_SECRET_KEY": canaries.new("stripe key", "sk_test_"),
            "STRIPE_WEBHOOK_SECRET": canaries.new("stripe webhook secret", "whsec_"),
            "EMAIL_HOST_PASSWORD": canaries.new("relay password"),
            "TLS_ASK_SECRET": canaries.new("tls secret"),
        }
        self.secrets = state.parent / "given"
        self.secrets.mkdir()
        for name, secret in given.items():
            (self.secrets / name).write_text(secret)
        # As on a production machine: names of files stand in the environment.
        by_file = {f"{name}_FILE": str(self.secrets / name) for name in given}
        self.temporary = state.parent / "tmp"
        self.temporary.mkdir()
        self.launcher = Launcher(
            state,
            ports
            | by_file
            | {
                "TMPDIR": str(self.temporary),
                "PANEL_URL": f"http://localhost:{ports['PANEL_PORT']}",
                "ALLOW_PRIVATE_WEBHOOKS": "yes",
            },
            "--no-demo",
        )
        self.said = []
        self.browsers = contextlib.ExitStack()

    def manage(self, *words, typed=""):
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.launcher.environment,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        self.said.append(done.stdout + done.stderr)
        return done

    def browser(self, **headers):
        client = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_SECONDS)
        return self.browsers.enter_context(client)

    def sessions(self):
        """What stands in the sessions, which are packed where they lie."""
        script = (
            "from accounts.session_store import SessionStore;"
            "rows = SessionStore.get_model_class().objects.all();"
            "print([each.get_decoded() for each in rows])"
        )
        command = [sys.executable, "manage.py", "shell", "-c", script]
        return subprocess.check_output(command, cwd=ROOT, env=self.launcher.environment, text=True)

    @contextlib.contextmanager
    def without(self, table):
        """As if the table were gone: whatever needs it fails, wherever it is."""
        with contextlib.closing(
            sqlite3.connect(self.state / "panel.sqlite3", timeout=PATIENCE_SECONDS)
        ) as base:
            base.execute("PRAGMA legacy_alter_table=ON")
            base.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
            base.commit()
            try:
                yield
            finally:
                base.execute(f"ALTER TABLE {table}_away RENAME TO {table}")
                base.commit()

    def rows(self, statement):
        with contextlib.closing(
            sqlite3.connect(self.state / "panel.sqlite3", timeout=PATIENCE_SECONDS)
        ) as base:
            return base.execute(statement).fetchall()


@pytest.fixture
def house():
    # Short, because the mail server's sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:
        house = House(Path(folder, "state"), Canaries())
        try:
            with house.browsers:
                eventually(lambda: READY in said_by(house.launcher), seconds=900)
                yield house
        finally:
            if house.launcher.process.poll() is None:
                house.launcher.stop()
            house.launcher.output.unlink()


def said_by(launcher):
    """What a program said that goes on; one that has ended will say no more."""
    assert launcher.process.poll() is None, launcher.said
    return launcher.said


def send(browser, path, **form):
    """Send a form as a person does, with the token that pages of this browser have."""
    if "csrf" not in browser.cookies:
        browser.get("/account/sign-in")
    return browser.post(path, data={"csrfmiddlewaretoken": browser.cookies["csrf"], **form})


def organisation_of(house):
    """The UUID of the customer, as its forms name it."""
    [(found,)] = house.rows("SELECT uuid FROM accounts_organisation WHERE name = 'Canary'")
    return str(UUID(found))


def wrong_with(page):
    """What a page says that should have led on."""
    main = page.text.partition("<main")[2].partition("</main>")[0]
    return page.status_code, " ".join(re.sub(r"<[^>]*>", " ", main).split())[:800]


def secret_on(page):
    return re.search(r'<code class="secret"[^>]*>([^<]+)</code>', page.text)[1].strip()


# The doors ------------------------------------------------------------------------------


def sign_up_and_in(house, browser):
    new = house.canaries.new
    staff_password = new("password of staff")
    refused = house.manage(
        "create_provider", "House", "not an address", typed=new("bad provider") + "\n"
    )
    assert refused.returncode
    made = house.manage("create_provider", "House", "sam@canary.test", typed=staff_password + "\n")
    assert made.returncode == 0, made.stderr
    again = house.manage("create_provider", "House", "sam@canary.test", typed=new("again") + "\n")
    assert again.returncode
    send(browser, "/account/sign-up", email="x", password=new("typed too early"))
    assert send(browser, "/account/sign-up", email=EMAIL).status_code == 200
    token = token_in_letter(house, "/account/sign-up/open?token=")
    house.canaries.know("sign-up token", token)
    where, who = f"/account/sign-up/open?token={token}", {"organisation_name": "Canary"}
    send(browser, where, **who, name="", password=new("refused sign-up"))
    send(browser, where, **who, name="Dora", password=new("null character") + "\0")
    with house.without("accounts_membership"):
        failed = send(browser, where, **who, name="Dora", password=new("failed sign-up"))
    assert failed.status_code == 503
    password = new("password")
    assert send(browser, where, **who, name="Dora", password=password).status_code == 302
    return password


def token_in_letter(house, before):
    """What follows in the one letter that a worker has sent with it."""
    sent = house.state / "sent"
    (letter,) = eventually(
        lambda: [each for each in sent.glob("*") if before.encode() in each.read_bytes()]
    )
    return re.search(rf"{re.escape(before)}([\w:.-]+)", letter.read_text())[1]


def try_to_sign_in(house, password):
    new = house.canaries.new
    browser = house.browser()
    send(browser, "/account/sign-in", username=EMAIL, password=new("wrong password"))
    send(browser, "/account/sign-in", username=new("password as name"), password="x")
    browser.post("/account/sign-in", data={"username": EMAIL, "password": new("without token")})
    browser.get("/account/sign-in", params={"password": new("in the query")})
    browser.get(f"/account/invitation/{new('invented token')}")
    browser.get("/nowhere", headers={"Cookie": f"session={new('invented session')}"})
    with house.without("accounts_knownaddress"):
        failed = send(browser, "/account/sign-in", username=EMAIL, password=new("failed sign-in"))
    assert failed.status_code == 503
    signed_in = send(browser, "/account/sign-in", username=EMAIL, password=password)
    assert signed_in.status_code == 302
    house.canaries.know("session key", browser.cookies["session"])
    house.canaries.know("token of forms", browser.cookies["csrf"])
    return browser


def prove_second_factor(house, browser):
    enrol = "/account/second-factor/enrol"
    text = house.canaries.know("second factor as text", secret_on(browser.get(enrol)))
    key = base64.b32decode(text + "=" * (-len(text) % 8))
    house.canaries.know("second factor", key.hex())
    send(browser, enrol, name="Phone", code="000000")
    send(browser, enrol, name=house.canaries.new("secret as a name"), code="x")
    done = send(browser, enrol, name="Phone", code=f"{totp(key):06}")
    assert done.status_code == 302, wrong_with(done)
    # It goes on under another key, since somebody may have known the first.
    house.canaries.know("session key after the factor", browser.cookies["session"])
    page = send(browser, "/account/security/second-factor/codes")
    codes = re.findall(r"<li><code>([^<]+)</code>", page.text)
    assert len(codes) >= 8, wrong_with(page)
    for number, code in enumerate(codes):
        house.canaries.know(f"recovery code {number}", code)


def order(house, browser):
    added = send(browser, "/domains/add", name="canary.test", organisation=organisation_of(house))
    assert added.status_code == 302, wrong_with(added)
    confirm = "from mailstore.models import Domain;Domain.objects.update(state='confirmed')"
    assert house.manage("shell", "-c", confirm).returncode == 0
    asked = {"domain": "canary.test", "local_part": "box", "protocol": "imap"}
    made = send(browser, "/mailboxes/order", **asked)
    assert made.status_code == 302, wrong_with(made)
    path = made.headers["Location"].rpartition("/set-up")[0]
    # It waits for its page in the session, and is nowhere to be read until then.
    waiting = house.sessions()
    house.canaries.know("app password", secret_on(browser.get(made.headers["Location"])))
    assert path.rpartition("/")[2] in waiting
    assert "app password" not in house.canaries.found_in(waiting.encode())
    eventually(lambda: house.rows("SELECT 1 FROM mailstore_mailbox WHERE state = 'active'"))
    return path


def use_the_mailbox(house, browser, path):
    new = house.canaries.new
    send(browser, f"{path}/password", password=new("mailbox password"))
    send(browser, f"{path}/password", password=new("refused mailbox password")[:4] + "\0")
    with house.without("mailstore_mailbox"):
        failed = send(browser, f"{path}/password", password=new("failed mailbox password"))
        sign_in_to_mail(house, new("mail password while it fails"))
    assert failed.status_code == 503
    never_seen = send(browser, f"{path}/app-passwords", label="Phone", protocols="imap")
    assert never_seen.status_code == 302
    sign_in_to_mail(house, new("wrong mail password"))
    eventually(lambda: sign_in_to_mail(house, house.canaries.by_name["app password"]))
    eventually(lambda: sign_in_to_mail(house, house.canaries.by_name["mailbox password"]))


def sign_in_to_mail(house, password):
    """Whether a mail program gets in, over both protocols."""
    done = []
    for port, kind in ((house.ports["IMAP_PORT"], "imap"), (house.ports["POP3_PORT"], "pop")):
        try:
            if kind == "imap":
                with imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE_SECONDS) as client:
                    client.starttls(ssl_context=unsafe_context())
                    done.append(client.login("box@canary.test", password)[0] == "OK")
            else:
                with contextlib.closing(
                    poplib.POP3("127.0.0.1", port, timeout=PATIENCE_SECONDS)
                ) as client:
                    client.stls(context=unsafe_context())
                    client.user("box@canary.test")
                    client.pass_(password)
                    client.quit()
        except (imaplib.IMAP4.error, poplib.error_proto, OSError):
            continue
    # Cut in the middle of a command.
    with (
        contextlib.suppress(OSError),
        socket.create_connection(
            ("127.0.0.1", house.ports["IMAP_PORT"]), timeout=PATIENCE_SECONDS
        ) as line,
    ):
        line.sendall(f'a LOGIN "box@canary.test" "{password}'.encode())
    return any(done)


def unsafe_context():
    import ssl  # noqa: PLC0415

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def call_the_api(house, browser):
    new, know = house.canaries.new, house.canaries.know
    organisation = organisation_of(house)
    form = {"label": "Shop", "organisation": organisation, "mode": "live", "everything": "on"}
    made = send(browser, "/keys/make", **form)
    assert made.status_code == 302, wrong_with(made)
    key = know("API key", secret_on(browser.get(made.headers["Location"])))
    api = house.browser(Authorization=f"Bearer {key}")
    [mailbox] = api.get("/api/v1/mailboxes").json()["items"]
    where = f"/api/v1/mailboxes/{mailbox['id']}/app-passwords"
    body = {"label": "Program", "protocols": ["imap"]}
    once = {"Idempotency-Key": "canary-order-1"}
    first = api.post(where, json=body, headers=once)
    assert first.status_code == 201, first.text
    know("app password by API", first.json()["secret"])
    assert api.post(where, json=body, headers=once).json() == first.json()
    with house.without("mailstore_apppassword"):
        assert api.post(where, json=body).status_code == 503
    wrong = house.browser()
    for header in (
        f"Bearer {new('unknown key', 'rst_live_')}",
        f"Basic {new('basic')}",
        new("bare key", "rst_live_"),
    ):
        assert wrong.get("/api/v1/mailboxes", headers={"Authorization": header}).status_code == 401
    wrong.get("/api/v1/mailboxes", params={"api_key": new("key in a query", "rst_live_")})
    wrong.get(f"/api/v1/{new('key in a path', 'rst_live_')}")
    wrong.post("/api/v1/mailboxes", json={"password": new("in a body")})
    wrong.post(
        "/payments/stripe/webhook",
        content=new("signed body"),
        headers={
            "Stripe-Signature": f"t=1,v1={new('signature')}",
        },
    )
    broken = f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization {new('header without its colon')}\r\n\r\n"
    for said in (
        broken,
        f"GET /?x={new('bad version')} HTTP/9.9\r\n\r\n",
        f"{new('noise')}\r\n\r\n",
    ):
        with socket.create_connection(
            ("127.0.0.1", house.ports["PANEL_PORT"]), timeout=PATIENCE_SECONDS
        ) as line:
            line.sendall(said.encode())
            with contextlib.suppress(OSError):
                line.recv(1000)


def keep_webhooks(house, browser):
    [(organisation,)] = house.rows("SELECT id FROM accounts_organisation WHERE name = 'Canary'")
    form = {"url": f"http://127.0.0.1:{house.ports['PANEL_PORT']}/healthz"}
    made = send(browser, "/webhooks/new", organisation=organisation, **form)
    assert made.status_code == 302, wrong_with(made)
    house.canaries.know("webhook secret", secret_on(browser.get(made.headers["Location"])))
    send(browser, f"{made.headers['Location']}ping")


def write_letters(house):
    """An invitation by a worker: first while letters cannot be kept, then as it should be."""
    sent, aside = house.state / "sent", house.state / "sent-aside"
    if sent.exists():
        sent.rename(aside)
    sent.write_text("no folder")
    script = (
        "from django.utils import timezone;from accounts import access, inviting;"
        "from accounts.models import *;"
        "o=Organisation.objects.select_related('parent').get(name='Canary');"
        "inviting.invite(actor=access.system('canary'),organisation=o,email='guest@canary.test',"
        "role='admin',at=timezone.now())"
    )
    done = house.manage("shell", "-c", script)
    assert done.returncode == 0, done.stderr
    eventually(lambda: house.rows("SELECT 1 FROM accounts_notice WHERE tries > 0 OR failure > ''"))
    sent.unlink()
    if aside.exists():
        shutil.move(aside, sent)
    else:
        sent.mkdir()
    house.manage(
        "shell",
        "-c",
        "from accounts.models import Notice;Notice.objects.update(next_try_at=None, tries=0)",
    )
    letters = eventually(
        lambda: [path for path in sent.glob("*") if b"/account/invitation/" in path.read_bytes()]
    )
    text = b"".join(path.read_bytes() for path in letters).replace(b"=\n", b"").decode()
    token = re.search(r"/account/invitation/([\w:.-]+)", text)[1]
    house.canaries.know("invitation token", token)
    browser = house.browser()
    password = house.canaries.new("first password")
    where = f"/account/invitation/{token}"
    with house.without("accounts_membership"):
        assert send(browser, where, name="Guest", password=password).status_code == 503
    assert send(browser, where, name="Guest", password=password).status_code == 302
    assert house.browser().get(where).status_code == 404


def ask_as_staff(house, browser):
    """The staff pages, as far as a person without rights there gets, and the history of all."""
    new = house.canaries.new
    send(browser, "/staff/login/", username="sam@canary.test", password=new("at the second door"))
    house.browser().get("/tls/allowed", params={"domain": "x", "secret": new("wrong tls secret")})
    right = (house.secrets / "TLS_ASK_SECRET").read_text()
    house.browser().get("/tls/allowed", params={"domain": "127.0.0.1", "secret": right})
    done = house.manage("doctor", "--json", "--only", "settings")
    assert done.returncode in {0, 1, 2}


# The sinks ------------------------------------------------------------------------------


def misplaced(house, watch):
    """What was found where it does not belong: the place, and whose secrets stand there."""
    places = {}
    for name, content in files(house.state):
        allowed = next((who for place, who in BELONGS.items() if name.startswith(place)), set())
        found = house.canaries.found_in(content) - allowed
        if found:
            places[name] = found
    for name, content in files(house.temporary):
        if found := house.canaries.found_in(content):
            places[f"temporary: {name}"] = found
    said = house.launcher.said + "".join(house.said)
    for name, content in {"said": said.encode(), "ps": b"\n".join(watch.seen)}.items():
        if found := house.canaries.found_in(content):
            places[name] = found
    return places


def test_the_search_finds_a_secret_however_it_is_written():
    canaries = Canaries()
    secret = canaries.new("one", "a+/=&%")
    spelt = list(shapes(secret))

    assert len(spelt) >= 8
    for text in spelt:
        assert canaries.found_in(b"before " + text + b" after") == {"one"}
    assert canaries.found_in(secret[:-1].encode()) == set()


@pytest.mark.slow
def test_no_secret_is_found_where_it_does_not_belong(house, counts):
    with ProcessWatch() as watch:
        browser = house.browser()
        password = sign_up_and_in(house, browser)
        browser = try_to_sign_in(house, password)
        prove_second_factor(house, browser)
        path = order(house, browser)
        use_the_mailbox(house, browser, path)
        call_the_api(house, browser)
        keep_webhooks(house, browser)
        write_letters(house)
        ask_as_staff(house, browser)
        # Whatever workers make of it, they have begun to by now.
        time.sleep(3)
        found = misplaced(house, watch)

    sinks = len(list(files(house.state, house.temporary))) + len(watch.seen) + 1
    counts(secrets=len(house.canaries.by_name), sinks=sinks)
    assert found == {}
    # What was planted to be found where it belongs is found there, so the search works.
    letters = b"".join(content for name, content in files(house.state) if name.startswith("sent/"))
    assert "invitation token" in house.canaries.found_in(letters.replace(b"=\n", b""))
    assert house.launcher.stop() == 0
    assert misplaced(house, watch) == {}
