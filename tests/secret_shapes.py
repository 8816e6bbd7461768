"""Made-up secrets of every common shape, and where they turn up."""

import base64
import json
import random
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

LETTERS = string.ascii_letters + string.digits
URL_SAFE = LETTERS + "-_"


@dataclass(frozen=True, slots=True)
class Secret:
    """`variable` is the usual name of its variable, `text` how it is written there, `needle` what nobody may read."""

    shape: str
    variable: str
    text: str
    needle: str


Make = Callable[[random.Random], str | tuple[str, str]]


def _drawn(chance: random.Random, alphabet: str, length: int) -> str:
    """Characters with at least one digit and one letter among them, as almost every key has."""
    body = "".join(chance.choices(alphabet, k=length - 2))
    return f"{body}{chance.choice(string.digits)}{chance.choice('abcdef')}"


def _prefixed(prefix: str, alphabet: str, length: int) -> Make:
    return lambda chance: prefix + _drawn(chance, alphabet, length)


def _jwt(chance: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"sub": _drawn(chance, LETTERS, 12), "exp": chance.randrange(10**9)}
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{_drawn(chance, URL_SAFE, 43)}"


def _pem(chance: random.Random) -> tuple[str, str]:
    body = base64.b64encode(chance.randbytes(480)).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"]), lines[3]


def _address(chance: random.Random) -> tuple[str, str]:
    password = _drawn(chance, LETTERS + "%!~", 16)
    return f"postgresql://ada:{password}@db.invalid:5432/runs", password


def _azure(chance: random.Random) -> tuple[str, str]:
    key = base64.b64encode(chance.randbytes(64)).decode()
    return (
        f"DefaultEndpointsProtocol=https;AccountName=runs;AccountKey={key};EndpointSuffix=core.invalid",
        key,
    )


def _shared_access(chance: random.Random) -> tuple[str, str]:
    signature = _drawn(chance, LETTERS, 40) + "%3D"
    return f"https://runs.blob.invalid/x?sv=2024-01-01&sig={signature}", signature


def _webhook(chance: random.Random) -> tuple[str, str]:
    path = f"T{_drawn(chance, string.ascii_uppercase, 9)}/B{_drawn(chance, string.ascii_uppercase, 9)}/"
    path += _drawn(chance, LETTERS, 24)
    return f"https://hooks.slack.com/services/{path}", path


def _header(kind: str) -> Make:
    def make(chance: random.Random) -> tuple[str, str]:
        value = _drawn(chance, LETTERS, 36)
        if kind == "Basic":
            value = base64.b64encode(f"ada:{value}".encode()).decode()
        return f"Authorization: {kind} {value}", value

    return make


_SHAPES: dict[str, tuple[str, Make]] = {
    "Hugging Face": ("HF_TOKEN", _prefixed("hf_", LETTERS, 34)),
    "OpenAI": ("OPENAI_API_KEY", _prefixed("sk-", LETTERS, 48)),
    "OpenAI project": ("OPENAI_PROJECT_KEY", _prefixed("sk-proj-", URL_SAFE, 120)),
    "Anthropic": ("ANTHROPIC_API_KEY", _prefixed("sk-ant-api03-", URL_SAFE, 95)),
    "GitHub": ("GITHUB_TOKEN", _prefixed("ghp_", LETTERS, 36)),
    "GitHub fine-grained": ("GH_TOKEN", _prefixed("github_pat_", LETTERS + "_", 82)),
    "GitLab": ("GITLAB_TOKEN", _prefixed("glpat-", URL_SAFE, 20)),
    "AWS id": (
        "AWS_ACCESS_KEY_ID",
        lambda c: _prefixed("AKIA", string.ascii_uppercase + "234567", 16)(c).upper(),
    ),
    "AWS secret": ("AWS_SECRET_ACCESS_KEY", _prefixed("", LETTERS + "/+", 40)),
    "Google API": ("GOOGLE_API_KEY", _prefixed("AIza", URL_SAFE, 35)),
    "Google access": ("GOOGLE_OAUTH_TOKEN", _prefixed("ya29.", URL_SAFE, 60)),
    "Slack": ("SLACK_BOT_TOKEN", lambda c: f"xoxb-{c.randrange(10**11, 10**12)}-{_drawn(c, LETTERS, 24)}"),
    "Slack webhook": ("SLACK_WEBHOOK_URL", _webhook),
    "JWT": ("SERVICE_AUTH", _jwt),
    "private key": ("SSH_PRIVATE_KEY", _pem),
    "address": ("DATABASE_URL", _address),
    "Azure": ("AZURE_STORAGE_CONNECTION_STRING", _azure),
    "Azure signature": ("AZURE_BLOB_URL", _shared_access),
    "Bearer": ("PROXY_AUTHORIZATION", _header("Bearer")),
    "Basic": ("MIRROR_AUTHORIZATION", _header("Basic")),
    "Stripe": ("STRIPE_SECRET_KEY", _prefixed("sk_live_", LETTERS, 24)),
    "SendGrid": ("SENDGRID_API_KEY", lambda c: f"SG.{_drawn(c, URL_SAFE, 22)}.{_drawn(c, URL_SAFE, 43)}"),
    "npm": ("NPM_TOKEN", _prefixed("npm_", LETTERS, 36)),
    "PyPI": ("PYPI_TOKEN", _prefixed("pypi-AgEIcHlwaS5vcmc", URL_SAFE, 120)),
    "Weights & Biases": ("WANDB_API_KEY", _prefixed("", "0123456789abcdef", 40)),
    "password": ("REGISTRY_PASSWORD", _prefixed("", LETTERS + "!?*$\\ü", 14)),
}
SHAPELESS = frozenset({"AWS secret", "Weights & Biases", "password"})
"""No form tells these: only the name beside them, or the variable that holds them."""


def drawn_secrets(chance: random.Random) -> list[Secret]:
    """One secret of each shape."""
    secrets = []
    for shape, (variable, make) in _SHAPES.items():
        made = make(chance)
        text, needle = made if isinstance(made, tuple) else (made, made)
        secrets.append(Secret(shape, variable, text, needle))
    return secrets


def as_written(secret: Secret) -> str:
    """How a text without variables mentions it: one that no form tells stands after its name."""
    return f"{secret.variable}={secret.text}" if secret.shape in SHAPELESS else secret.text


def leaked(secrets: Iterable[Secret], places: dict[str, str]) -> list[str]:
    """Where a needle can be read: as it is, or as JSON and Python write it."""
    found = []
    for secret in secrets:
        ways = {secret.needle, json.dumps(secret.needle)[1:-1], repr(secret.needle)[1:-1]}
        found += [
            f"{secret.shape} in {place}" for place, text in places.items() if any(way in text for way in ways)
        ]
    return found


def texts_below(folder: Path) -> dict[str, str]:
    """Every file below a folder, its name included, by its path."""
    return {
        str(path): f"{path}\n{path.read_bytes().decode('utf-8', 'surrogateescape')}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
