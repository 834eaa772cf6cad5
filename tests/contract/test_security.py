"""What the code never does, whatever it is given; and docs/security.md names tests that exist."""

import ast
import re
from collections.abc import Iterator

import pytest
from source import REPOSITORY, modules

from beam_pipeline.io.pubsub_source import PubSubSource

DOCUMENT = REPOSITORY / "docs/security.md"

# Modules that run what they read.
UNSAFE_MODULES = {
    "code", "cloudpickle", "commands", "dill", "jinja2", "joblib", "marshal", "pickle", "pty",
    "runpy", "shelve", "telnetlib", "xmlrpc", "yaml",
}  # fmt: skip
UNSAFE_NAMES = {"eval", "exec", "compile", "__import__", "PickleCoder", "FastPrimitivesCoder"}
UNSAFE_CALLS = {
    "os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "subprocess.getoutput",
    "subprocess.getstatusoutput", "asyncio.create_subprocess_shell", "np.load", "numpy.load",
}  # fmt: skip
# What imports a file by its path, in whatever way it is spelt.
IMPORTING = {"SourceFileLoader", "exec_module", "source_to_code", "spec_from_file_location"}
UNSAFE_ARGUMENTS = {("shell", True), ("verify", False), ("allow_pickle", True)}

# A statement's first words, as it is sent; prose begins otherwise.
SQL = re.compile(
    r"\s*(--.*\n\s*)*(SELECT|INSERT INTO|DELETE FROM|UPDATE \S+ SET|MERGE|WITH \w+ AS|DROP|ALTER"
    r"|CREATE (OR REPLACE )?(TABLE|VIEW|SCHEMA|FUNCTION))\b"
)
# Statements made of parts, and why that is safe.
MADE_OF_PARTS = {
    ("testudo.commands.engines", "CREATE TABLE files."): "columns of templates/bigquery",
    ("testudo.commands.engines", "CREATE VIEW files."): "files of templates/bigquery",
}
# Arguments of what sends a statement that are no literal: where they come from.
ASKED_WITH = {
    "sql": "a parameter, looked at too; or the person's own --sql, or a file of ours",
    "to_duckdb(fill(sql, SCHEMA))": "sqlglot's translation of such an sql",
    "fill(sql, self._dataset)": "such an sql with a checked dataset",
    "policy_statement": "a file of templates/bigquery/access with a checked tenant and principal",
    "revoking(grant, self._dataset, table)": "the same",
}
# Servers and what is bound: (call's name, place of the address among its arguments).
BINDING = {
    "bind", "HTTPServer", "ThreadingHTTPServer", "TCPServer", "create_server", "start_server",
    "add_insecure_port", "add_secure_port", "SimpleXMLRPCServer", "Listener", "make_server",
}  # fmt: skip
LOOPBACK = {"HOST", "'127.0.0.1'"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the name of what is called, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What in a module runs data as code, or lets a shell or a stranger do so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (name for name in names if name.split(".")[0] in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom):
            if str(node.module).split(".")[0] in UNSAFE_MODULES:
                yield str(node.module)
            yield from (alias.name for alias in node.names if alias.name in UNSAFE_NAMES)
        elif isinstance(node, ast.Attribute) and node.attr in UNSAFE_NAMES - {"compile"}:
            yield node.attr
        elif isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            yield from {name} & IMPORTING
    for name, call in calls(tree):
        if name in UNSAFE_NAMES | UNSAFE_CALLS:
            yield name
        for given in call.keywords:
            if isinstance(given.value, ast.Constant):
                argument = (str(given.arg), given.value.value)
                yield from (f"{one[0]}={one[1]}" for one in UNSAFE_ARGUMENTS if one == argument)


# These pages are templates of the package; what they show is escaped, and no template itself.
TEMPLATED = {"loadtest.report.page": ["jinja2"], "testudo.view.pages": ["jinja2"]}
# An unpickler that knows tensors alone (tests/unit/test_torch_file.py), in training, of a file
# that an installed package brings.
TENSORS = {"models.training.torch_file": ["pickle"]}


# A team's own file, which is part of a verified release as its SavedModels are, or is named by who
# trains or tries it: never what a sender sent. Workers import it in the models' processes alone.
FUNCTIONS = {"models.functions": sorted(IMPORTING)}


def test_nothing_runs_what_it_reads() -> None:
    """No pickle, no eval, no shell, no YAML, and no connection that trusts any certificate."""
    found = {name: sorted(unsafe(tree)) for name, tree in modules().items()}
    expected = TEMPLATED | TENSORS | FUNCTIONS
    assert {name: those for name, those in found.items() if those} == expected


def test_functions_are_called_by_models_and_training_alone() -> None:
    """No stage of the job imports a team's file: a worker has credentials, and no alarm."""
    allowed = {
        "models.kernels", "models.training.bundle", "models.training.evaluation",
        "models.training.examples", "models.training.train",
        "testudo.building", "testudo.commands.train", "testudo.trial",
    }  # fmt: skip
    using = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "models.functions"
    }
    assert using == allowed


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from pickle import loads", "import yaml", "eval('1')", "exec('1')",
        "import os\nos.system('true')", "subprocess.run('true', shell=True)",
        "requests.get('https://a', verify=False)", "np.load('a', allow_pickle=True)",
        "from apache_beam.coders import PickleCoder", "coders.PickleCoder()",
        "importlib.util.spec_from_file_location('a', 'b')", "loader.exec_module(a)",
        "class A(SourceFileLoader): pass",
    ],
)  # fmt: skip
def test_what_runs_what_it_reads_would_be_found(code: str) -> None:
    """The search itself: each of these is found."""
    assert list(unsafe(ast.parse(code)))


def test_a_checkpoint_of_the_local_source_is_no_bytes() -> None:
    """Beam's usual coder would unpickle it."""
    source = PubSubSource("projects/p/subscriptions/s")
    coder = source.get_checkpoint_mark_coder()
    mark = coder.decode(b"whatever comes")
    assert coder.encode(mark) == b""
    assert coder.decode(coder.encode(mark)) == mark


def literal_start(node: ast.AST) -> str:
    """The text that an expression begins with, as far as it stands in the code."""
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        start = ""
        for part in node.values:
            if not isinstance(part, ast.Constant):
                break
            start += str(part.value)
        return start
    if isinstance(node, ast.BinOp):
        return literal_start(node.left)
    return ""


def pieced_sql(tree: ast.AST) -> Iterator[str]:
    """The start of every SQL statement that is put together: f-string, +, %, format, join."""
    for node in ast.walk(tree):
        start = ""
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod)
        ):
            start = literal_start(node)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"format", "format_map", "replace", "join"}
        ):
            start = literal_start(node.func.value)
        if SQL.match(start):
            yield start


def test_sql_is_not_put_together() -> None:
    """Statements are constants and files, with a checked dataset; values are parameters."""
    found = {(name, start) for name, tree in modules().items() for start in pieced_sql(tree)}
    assert found == set(MADE_OF_PARTS)


@pytest.mark.parametrize(
    "code",
    [
        'f"SELECT * FROM t WHERE a = {a}"', '"SELECT * FROM t WHERE a = " + a',
        '"SELECT * FROM %s" % a', '"""\nSELECT {}""".format(a)', 'f"-- what\\nDROP TABLE {a}"',
        '"DELETE FROM t WHERE x = @a".replace("@a", a)',
    ],
)  # fmt: skip
def test_sql_that_is_put_together_would_be_found(code: str) -> None:
    """The search itself: each of these is found."""
    assert list(pieced_sql(ast.parse(code)))


def test_the_only_thing_filled_into_sql_is_a_checked_name() -> None:
    """`fill` alone replaces {dataset}, and takes no more than DATASET or PROJECT.DATASET."""
    replacing = [
        name
        for name, tree in modules().items()
        for called, call in calls(tree)
        if called.endswith((".replace", ".format"))
        and any(isinstance(one, ast.Constant) and one.value == "{dataset}" for one in call.args)
    ]
    assert replacing == ["beam_pipeline.tables"]


def test_statements_are_sent_as_they_stand() -> None:
    """Each call that sends SQL is given a constant, `fill` of one, or one of the named."""
    sending = ("query_and_wait", "engine.ask", "self.ask", "_ask_of", "_connection.execute")
    sent = [  # the statement comes first, and after the client in a function of ours
        (name, call.args[called == "_ask_of"])
        for name, tree in modules().items()
        for called, call in calls(tree)
        if called.endswith(sending)
    ]
    odd = [(name, ast.unparse(one)) for name, one in sent if not is_plain_sql(one)]
    assert odd == []
    assert {ast.unparse(one) for _, one in sent} >= ASKED_WITH.keys(), (
        "an exception that nobody needs any more"
    )


def is_plain_sql(node: ast.expr) -> bool:
    text = ast.unparse(node)
    if isinstance(node, ast.Call) and text.startswith("fill("):
        return is_plain_sql(node.args[0])
    made = any(literal_start(node) == start for _, start in MADE_OF_PARTS)
    return made or isinstance(node, ast.Constant) or text.isupper() or text in ASKED_WITH


def bound(tree: ast.AST) -> Iterator[str]:
    """The addresses that a module's servers and sockets listen on, as they are written."""
    for called, call in calls(tree):
        if called.split(".")[-1] in BINDING:
            address = call.args[0]
            if isinstance(address, ast.Tuple):
                yield ast.unparse(address.elts[0])
            elif isinstance(address, ast.JoinedStr) and len(address.values) > 1:
                first = address.values[0]
                yield (
                    ast.unparse(first.value)
                    if isinstance(first, ast.FormattedValue)
                    else literal_start(address)
                )
            else:
                yield ast.unparse(address)


def test_servers_are_bound_to_the_loopback_address() -> None:
    """Whatever the packages open; that what they start does so too is looked at end to end."""
    found = {name: set(bound(tree)) for name, tree in modules().items() if list(bound(tree))}
    assert {one for addresses in found.values() for one in addresses} <= LOOPBACK, found
    assert found.keys() >= {
        "testudo.local.processes",
        "testudo.local.workers",
        "testudo.view.server",
    }
    for name, tree in modules().items():
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert not texts & {"0.0.0.0", "::", "[::]", "[::]:0"}, name  # noqa: S104 - looked for


def test_every_server_of_the_stack_is_told_where_to_listen() -> None:
    """Prism has no flag for it: its source is changed before it is built."""
    source = (REPOSITORY / "testudo/local/servers.py").read_text(encoding="utf-8")
    for server in ("_pubsub", "_bigquery", "_storage"):
        body = source.split(f"def {server}(")[1].split("\ndef ")[0]
        assert 'f"--host={HOST}"' in body, server
    assert 'HOST = "127.0.0.1"\n' in source


def test_names_of_metrics_are_constants() -> None:
    """A sender's word would make a series of its own in every dashboard."""
    for name, tree in modules().items():
        for called, call in calls(tree):
            if called.startswith("Metrics."):
                assert all(isinstance(one, ast.Constant) for one in call.args), name


# --- docs/security.md ------------------------------------------------------------------------


def named_tests() -> list[tuple[str, str]]:
    """File and name of each test that the table of threats names."""
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOCUMENT.read_text(encoding="utf-8"))


def test_every_threat_has_its_defence_and_its_proof() -> None:
    """No empty cell, and a test in each row of the table of threats."""
    text = DOCUMENT.read_text(encoding="utf-8").split("## Threats")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("|")][2:]
    assert rows
    for row in rows:
        assert len(row) == 3, row
        assert all(cell.strip() for cell in row)
        assert "::" in row[2], row


def test_every_test_that_the_document_names_exists() -> None:
    """In the file that it says."""
    named = named_tests()
    assert named
    for path, name in named:
        tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{path}::{name}"


def test_the_document_is_one_page() -> None:
    """A threat model that nobody reads protects nothing."""
    assert len(DOCUMENT.read_text(encoding="utf-8").split()) <= 1_600


@pytest.mark.parametrize("document", ["README.md", "docs/inside.md"])
def test_readers_are_led_to_the_document(document: str) -> None:
    """From where they begin."""
    assert "security.md)" in (REPOSITORY / document).read_text(encoding="utf-8")
