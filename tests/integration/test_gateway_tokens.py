# SPDX-License-Identifier: MIT
"""Who may knock: tokens of every wrong kind, key sets by URL, by file and by secret, and what is refused at the start."""
import base64
import http.server
import json
import os
import subprocess
import threading
import time
import uuid

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway_process import SECRET, Gateway, World, b64, token
from postgres import INSTRUMENTED, program
from system import PATIENCE, eventually

ISSUER = "https://project.example/auth/v1"


def number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key, kid, **more):
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": number(public.n), "e": number(public.e), **more}


def ec_jwk(key, kid, **more):
    public = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
            "x": number(public.x, 32), "y": number(public.y, 32), **more}


class KeyServer:
    """A JWKS endpoint that counts its requests and can be made to fail."""

    def __init__(self):
        self.keys, self.requests, self.status = [], 0, 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests += 1
                body = json.dumps({"keys": outer.keys}).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
WEAK_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.fixture(scope="module")
def keys():
    server = KeyServer()
    server.keys = [rsa_jwk(RSA_KEY, "r1"), ec_jwk(EC_KEY, "e1"), ec_jwk(EC_KEY, "enc", use="enc"),
                   rsa_jwk(RSA_KEY, "twice"), ec_jwk(EC_KEY, "twice"), rsa_jwk(WEAK_KEY, "weak"),
                   {"kty": "OKP", "crv": "Ed25519", "kid": "o1", "x": b64(b"x" * 32)}, ec_jwk(EC_KEY, "ops", key_ops=["sign"])]
    return server


@pytest.fixture(scope="module")
def world(keys):
    with World(jwks_url=keys.url, jwt_issuer=ISSUER) as running:
        yield running


@pytest.fixture(scope="module")
def ask(world):
    def call(text, header=None):
        headers = {"Authorization": header if header is not None else "Bearer " + text}
        return world.gateway.raw("GET", "/v1/tenants", headers=headers)
    return call


def claims(**more):
    now = int(time.time())
    payload = {"sub": str(uuid.uuid4()), "aud": "authenticated", "iss": ISSUER, "role": "authenticated", "iat": now,
               "exp": now + 600, **more}
    return {name: value for name, value in payload.items() if value is not None}


def es256(kid="e1", key=EC_KEY, headers=None, **more):
    return pyjwt.encode(claims(**more), key, "ES256", {"kid": kid, **(headers or {})})


def rs256(kid="r1", key=RSA_KEY, **more):
    return pyjwt.encode(claims(**more), key, "RS256", {"kid": kid})


def hs256(secret=SECRET, header=None, **more):
    now = claims(**more)
    return token(now.pop("sub", None), secret, header, **{"aud": None, "role": None, "iat": None, "exp": None, **now})


def refused(answer):
    return answer.status == 401 and answer.error == "invalid_token" and \
        set(answer.json) == {"error", "type", "title", "status"}


def test_good_tokens_of_each_kind(ask):
    eventually(lambda: ask(es256()).status == 200, what="the key set")
    assert ask(rs256()).status == 200
    assert ask(hs256()).status == 200
    assert ask(hs256(header={"alg": "HS256", "kid": "a legacy id"})).status == 200
    assert ask(es256(headers={"typ": "at+jwt"})).status == 200


def test_no_token(world, ask):
    for header in ("", "Basic dTpw", "Bearer", "bearer", "Token x", "x"):
        answer = ask("", header)
        assert (answer.status, answer.error) == (401, "missing_token"), header
        assert answer.headers["www-authenticate"].startswith("Bearer")
    in_query = world.gateway.raw("GET", "/v1/tenants?access_token=" + es256())
    assert (in_query.status, in_query.error) == (401, "missing_token")
    assert ask("", "bearer " + es256()).status == 200, "the scheme's name has no case"


def test_two_authorization_headers(world):
    import socket
    good = es256()
    with socket.create_connection(("127.0.0.1", world.gateway.port), timeout=60) as client:
        client.sendall(f"GET /v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\r\n"
                       f"Authorization: Bearer {good}\r\n\r\n".encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", None, "HS384", "RS512", "PS256", "EdDSA", 5])
def test_algorithms_that_no_key_has(ask, alg):
    header = {"typ": "JWT", "kid": "e1", **({"alg": alg} if alg is not None else {})}
    body = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims()).encode())
    assert refused(ask(body + "."))
    assert refused(ask(body + "." + es256().split(".")[2]))


def test_the_key_pins_the_algorithm(ask):
    """HS256 with a public key as the secret, in all the forms that somebody might try."""
    for key, kid in ((RSA_KEY, "r1"), (EC_KEY, "e1")):
        public = key.public_key()
        jwk = rsa_jwk(key, kid) if kid == "r1" else ec_jwk(key, kid)
        forms = [public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
                 public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
                 json.dumps(jwk).encode(), b64(json.dumps(jwk).encode()).encode(), b""]
        for form in forms:
            for header in ({"alg": "HS256", "kid": kid}, {"alg": "HS256"}):
                assert refused(ask(hs256(form.decode("latin-1") if form else "", header))), (kid, form[:20])
        swapped = es256(kid="r1") if kid == "e1" else rs256(kid="e1")
        assert refused(ask(swapped))


def test_keys_in_the_token_are_never_used(ask, keys):
    own = ec.generate_private_key(ec.SECP256R1())
    before = keys.requests
    for headers in ({"jwk": ec_jwk(own, "x")}, {"jku": keys.url + "?mine"}, {"x5u": keys.url}, {"x5c": ["AAAA"]},
                    {"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False}):
        assert refused(ask(es256(key=own, headers=headers)))
        assert refused(ask(es256(headers=headers))), "not even beside a good signature"
    assert keys.requests == before


def test_key_ids(ask, keys):
    ask(es256(kid="unknown"))  # may use up the cooldown
    before = keys.requests
    for kid in ("unknown", "' or 1=1 --", "../../etc/passwd", "a\0b", "x" * 300, "", "E1", "twice", "weak", "enc", "ops", "o1"):
        assert refused(ask(es256(kid=kid))), kid
    assert keys.requests <= before + 1, "a token must not make us fetch again and again"
    assert refused(ask(pyjwt.encode(claims(), EC_KEY, "ES256"))), "without an id nobody can tell which key"


@pytest.mark.parametrize("change", [
    {"exp": lambda now: now - 31}, {"exp": lambda now: None}, {"exp": lambda now: str(now + 60)}, {"exp": lambda now: -1},
    {"exp": lambda now: now + 60.5}, {"exp": lambda now: True}, {"nbf": lambda now: now + 60}, {"nbf": lambda now: "0"},
    {"iat": lambda now: now + 60}, {"iat": lambda now: str(now)}, {"aud": lambda now: None}, {"aud": lambda now: "anon"},
    {"aud": lambda now: ["authenticated"]}, {"aud": lambda now: ""}, {"iss": lambda now: None},
    {"iss": lambda now: ISSUER + "/"}, {"iss": lambda now: "https://evil.example/auth/v1"}, {"sub": lambda now: None},
    {"sub": lambda now: "root"}, {"sub": lambda now: 5}, {"sub": lambda now: ""}, {"role": lambda now: None}, {"role": lambda now: 5}])
def test_claims(ask, change):
    now = int(time.time())
    assert refused(ask(es256(**{name: make(now) for name, make in change.items()})))


def test_too_large_numbers(ask):
    header = b64(b'{"alg":"HS256"}')
    for exp in (b"9223372036854775808", b"1e30", b"18446744073709551616"):
        body = json.dumps(claims(exp="@")).encode().replace(b'"@"', exp)
        import hashlib
        import hmac
        signed = header + "." + b64(body)
        text = signed + "." + b64(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())
        assert refused(ask(text)), exp


def test_leeway(ask):
    now = int(time.time())
    assert ask(es256(exp=now - 10)).status == 200
    assert ask(es256(nbf=now + 10)).status == 200
    assert ask(es256(iat=now + 10)).status == 200


@pytest.mark.parametrize("role", ["service_role", "anon", "postgres", ""])
def test_other_roles_are_no_users(ask, role):
    answer = ask(es256(role=role))
    assert (answer.status, answer.error) == (403, "forbidden")


@pytest.mark.parametrize("typ", ["refresh+jwt", "id_token", "dpop+jwt", "JWS"])
def test_other_kinds_of_token(ask, typ):
    assert refused(ask(es256(headers={"typ": typ})))


def test_malformed_tokens(ask):
    good = es256()
    head, body, signature = good.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    last = signature[:-1] + chr(ord(signature[-1]) + 1)
    for text in (head, head + "." + body, good + ".", good + ".x", "." + good, good + "=", f"{head}=.{body}.{signature}",
                 f"{head}.{body}.{signature[:-1]}", f" {good}", f"{head}.{body} .{signature}", last and
                 f"{head}.{body}.{last}", f"{head}.{body}.{b64(bytes(64))}", f"{head}.{body}.{b64(raw + b'x')}",
                 f"{head}.{body}.{b64(raw[:63])}", f"{head}.{body}.", "..", "...", "a.b.c", json.dumps({"protected": head}),
                 b64(b"null") + "." + body + "." + signature, b64(b'{"alg":"ES256","alg":"ES256"}') + f".{body}.{signature}",
                 "x" * 8193, good + "A" * 9000):
        answer = ask(text)
        assert answer.status == 401 or (len(text) > 8000 and answer.status in (401, 431)), (text[:50], answer)


def test_signatures_of_another_shape(ask):
    from cryptography.hazmat.primitives import hashes
    head = b64(json.dumps({"alg": "ES256", "kid": "e1"}).encode())
    signed = head + "." + b64(json.dumps(claims()).encode())
    der = EC_KEY.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    assert refused(ask(signed + "." + b64(der)))
    order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
    for r in (0, order, order - 1):
        for s in (0, order):
            assert refused(ask(signed + "." + b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))))


def test_many_bad_tokens_slow_nobody_down(world, ask):
    """Measured in the gateway's own CPU time, which does not depend on what else the machine does."""
    stop, asked = threading.Event(), []

    def cpu_seconds():
        with open(f"/proc/{world.gateway.process.pid}/stat", encoding="ascii") as file:
            user, system = file.read().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def flood():
        while not stop.is_set():
            ask("x" * 8000)
            asked.append(ask(es256(key=ec.generate_private_key(ec.SECP256R1()))).status)

    before = cpu_seconds()
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        healthy = 0
        while healthy < 100 or len(asked) < 100:
            assert world.gateway.raw("GET", "/health").status == 200
            healthy += 1
    finally:
        stop.set()
        thread.join()
    spent = (cpu_seconds() - before) / (2 * len(asked) + healthy)
    assert set(asked) == {401} and spent < 0.005 * PATIENCE, f"{spent} s each"


def test_a_new_key_is_found_and_an_old_set_is_kept(world):
    """Rotation: a token of a key not seen yet fetches the set, once; a broken endpoint takes nothing away."""
    server = KeyServer()
    server.keys = [ec_jwk(EC_KEY, "old")]
    gateway = Gateway(world.postgres, world.store, jwks_url=server.url, rate_per_minute=0).start()
    try:
        def status(text):
            return gateway.raw("GET", "/v1/tenants", headers={"Authorization": "Bearer " + text}).status
        eventually(lambda: status(es256(kid="old")) == 200, what="the first set")
        server.status = 500
        assert status(es256(kid="new")) == 401
        assert status(es256(kid="old")) == 200
        assert server.requests <= 3
    finally:
        gateway.close()


def test_no_keys_yet_is_not_the_callers_fault(world):
    server = KeyServer()
    server.status = 500
    gateway = Gateway(world.postgres, world.store, jwks_url=server.url, rate_per_minute=0).start()
    try:
        headers = {"Authorization": "Bearer " + es256()}
        eventually(lambda: server.requests > 0, what="a first try")
        answer = eventually(lambda: (lambda got: got if got.status == 503 else None)(
            gateway.raw("GET", "/v1/tenants", headers=headers)), what="503")
        assert answer.error == "keys_unavailable" and answer.headers["retry-after"] == "1"
        server.status, server.keys = 200, [ec_jwk(EC_KEY, "e1")]
        eventually(lambda: gateway.raw("GET", "/v1/tenants", headers=headers).status == 200, what="recovery")
    finally:
        gateway.close()


# -- the start -----------------------------------------------------------------------------------------------------

def try_to_start(world, **settings):
    gateway = Gateway(world.postgres, world.store, **{"secret": None, **settings})
    environment = {**gateway.environment(), "FILEMILL_LISTEN_FD": str(gateway.listener.fileno())}
    try:
        result = subprocess.run([program("filemill-gateway")], env=environment, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=60, pass_fds=(gateway.listener.fileno(),))
    except subprocess.TimeoutExpired:
        return None
    finally:
        gateway.close()
    return result


@pytest.mark.parametrize("settings,option", [
    ({}, "jwt-secret"), ({"secret": "x" * 31}, "jwt-secret"), ({"jwks_file": "/nonexistent"}, "jwks-file"),
    ({"secret": SECRET, "jwt_leeway_seconds": "x"}, "JWT_LEEWAY"), ({"secret": SECRET, "storage_region": None,
     "storage_provider": "nonsense"}, "STORAGE_PROVIDER")])
def test_refused_at_the_start(world, settings, option):
    result = try_to_start(world, **settings)
    assert result is not None and result.returncode != 0
    complaints = [line for line in result.stderr.splitlines() if "level=error" in line]
    assert len(complaints) == 1 and option in complaints[0], result.stderr
    assert "x" * 31 not in result.stderr


def test_weak_keys_in_a_file_are_refused_at_the_start(world, tmp_path):
    path = tmp_path / "keys.json"
    for keys in ([rsa_jwk(WEAK_KEY, "w")], [ec_jwk(EC_KEY, "e"), rsa_jwk(WEAK_KEY, "w")], [],
                 [{"kty": "oct", "alg": "HS256", "kid": "k", "k": b64(b"x" * 31)}]):
        path.write_text(json.dumps({"keys": keys}))
        result = try_to_start(world, jwks_file=path)
        assert result is not None and result.returncode != 0 and "jwks-file" in result.stderr, keys


def test_a_key_file(world, tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [ec_jwk(EC_KEY, "e")]}))
    gateway = Gateway(world.postgres, world.store, jwks_file=path, rate_per_minute=0).start()
    try:
        text = es256(kid="e")
        assert gateway.raw("GET", "/v1/tenants", headers={"Authorization": "Bearer " + text}).status == 200
        path.write_text(json.dumps({"keys": [ec_jwk(EC_KEY, "e"), rsa_jwk(RSA_KEY, "later")]}))
        assert gateway.raw("GET", "/v1/tenants", headers={"Authorization": "Bearer " + rs256(kid="later")}).status == 200
    finally:
        gateway.close()


# -- filemill-token ------------------------------------------------------------------------------------------------

def make_token(*arguments, **settings):
    environment = {"FILEMILL_JWT_SECRET": SECRET, **INSTRUMENTED, **settings}
    return subprocess.run([program("filemill-token"), *arguments], env=environment, capture_output=True, text=True,
                          timeout=60)


def test_filemill_token(world):
    user = str(uuid.uuid4())
    made = make_token("--user", user, "--ttl", "15m", "--email", "a@b.c", FILEMILL_JWT_ISSUER=ISSUER)
    assert made.returncode == 0 and made.stderr == ""
    body = pyjwt.decode(made.stdout.strip(), SECRET, ["HS256"], audience="authenticated", issuer=ISSUER)
    assert (body["sub"], body["role"], body["email"]) == (user, "authenticated", "a@b.c")
    assert body["exp"] - body["iat"] == 900 and abs(body["iat"] - time.time()) < 60
    answer = world.gateway.raw("GET", "/v1/tenants", headers={"Authorization": "Bearer " + made.stdout.strip()})
    assert answer.status == 200


def test_filemill_token_refuses(tmp_path):
    for arguments in (["--user", "me"], ["--ttl", "0"], ["--ttl", "1y"], ["--ttl"], ["--nonsense", "1"], ["x"], ["--ttl", "9999d"]):
        made = make_token(*arguments)
        assert made.returncode == 2 and made.stdout == "" and made.stderr.startswith("usage:"), arguments
    made = make_token(FILEMILL_JWT_SECRET="short")
    assert made.returncode == 1 and made.stdout == "" and "jwt-secret" in made.stderr and "short " not in made.stderr
