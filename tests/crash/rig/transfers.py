"""The work, and what must hold of it. A transfer writes to all four engines in one transaction: two balances (PostgreSQL), two list appends
(documents), two edges and the newest-transfer pointers (Neo4j), three points (InfluxDB), and a record of its own with a part in each.

The checks read the engines alone and compare them with what was told to the client."""
import collections
import random

from . import engines

BUCKET = "bank"
INITIAL = 1000
DEFINITIONS = (
    "CREATE BUCKET bank;",
    "CREATE RECORD accounts (id scalar string, balance scalar int, history document, newest relation to transfers, level metric int);",
    "CREATE RECORD transfers (id scalar string, amount scalar int, note document, between relation to accounts many, size metric int);",
)


class Transfers:
    def __init__(self, client, accounts=16, seed=1):
        self.client = client
        self.accounts = [f"a{i:03d}" for i in range(accounts)]
        self.random = random.Random(seed)
        self.sent = {}  # request id = transfer id -> (from, to, amount, number, what should become of it)
        self.number = 0

    def define(self):
        for i, text in enumerate(DEFINITIONS):
            self.client.run(f"define{i}", text)
        for a in self.accounts:
            self.client.run(f"open-{a}", f'INSERT INTO accounts {{ id: "{a}", balance: {INITIAL}, history: [], level: 0 }};')

    def text(self, t, source, target, amount, number, end="COMMIT"):
        def update(account, sign):
            return (f'UPDATE accounts SET balance = balance {sign} {amount}, history += ["{t}"], newest = relation("{t}"), level = {number} '
                    f'WHERE id = "{account}";')
        return (f'BEGIN TRANSACTION; {update(source, "-")} {update(target, "+")} '
                f'INSERT INTO transfers {{ id: "{t}", amount: {amount}, note: {{ of: "{t}", list: [{number}] }}, '
                f'between: [relation("{source}"), relation("{target}")], size: {number} }}; {end};')

    def make(self, kind=None):
        """(transfer id, text): most commit; some are rolled back by the client, some fail an ASSERT or insert a transfer that is there."""
        self.number += 1
        t = f"t{self.number:06d}"
        source, target = self.random.sample(self.accounts, 2)
        amount = self.random.randint(1, 9)
        kind = kind or self.random.choices(("commit", "rollback", "assert", "again"), (88, 4, 4, 4))[0]
        committed = [x for x in self.sent if self.outcome(x) == "committed"] if kind == "again" else []
        text = self.text(t, source, target, amount, self.number)
        if kind == "rollback":
            text = self.text(t, source, target, amount, self.number, "ROLLBACK")
        elif kind == "assert":
            text = text.replace("COMMIT;", "ASSERT 1 = 2; COMMIT;")
        elif kind == "again":
            if not committed:
                kind = "commit"
            else:  # a duplicate id: PostgreSQL refuses it at the latest
                old = self.random.choice(committed[-50:])
                text = text.replace(f'INSERT INTO transfers {{ id: "{t}"', f'INSERT INTO transfers {{ id: "{old}"')
        self.sent[t] = (source, target, amount, self.number, kind)
        return t, text

    def send(self, kind=None, timeout_ms=None):
        t, text = self.make(kind)
        self.client.send(t, text, timeout_ms)
        if self.random.random() < 0.05:
            self.client.send(t, text, timeout_ms)  # the same request again: once
        return t

    # ---- what the client was told ----

    def outcome(self, t):
        result = self.client.results.get(t)
        return result["status"] if result else None

    def committed(self):
        return {t for t in self.sent if self.outcome(t) == "committed"}

    def untold(self):
        return [t for t in self.sent if self.outcome(t) is None]

    # ---- the engines themselves ----

    def read(self, system):
        pg = system.uri("postgres")
        state = {
            "prepared": engines.prepared(pg),
            "balances": dict(engines.postgres(pg, "SELECT id, balance FROM bank.accounts WHERE NOT _q_dead")),
            "rows": {r[0]: r[1:] for r in engines.postgres(pg, "SELECT id, amount, _q_seq FROM bank.transfers WHERE NOT _q_dead")},
            "histories": {d["_id"]: d["history"] for d in engines.mongo(system.uri("mongo"), BUCKET, "accounts")},
            "notes": {d["_id"]: d["note"] for d in engines.mongo(system.uri("mongo"), BUCKET, "transfers")},
            "edges": {}, "newest": {}, "points": collections.defaultdict(list), "sizes": collections.defaultdict(list),
        }
        for t, ends in engines.neo4j(system.uri("neo4j"), "MATCH (t:bank__transfers) WHERE t._q_seq IS NOT NULL AND NOT t:_quanta_dead "
                                     "OPTIONAL MATCH (t)-[r:between]->(a) WITH t, a, r ORDER BY r._q_index RETURN t.id, collect(a.id)"):
            state["edges"][t] = ends
        for a, t in engines.neo4j(system.uri("neo4j"), "MATCH (a:bank__accounts)-[:newest]->(t) RETURN a.id, t.id"):
            state["newest"].setdefault(a, []).append(t)
        for row in engines.influx(system.uri("influx"), BUCKET, 'SELECT "level", "id" FROM "accounts" WHERE "level" > 0'):
            state["points"][row["id"]].append(row["level"])
        for row in engines.influx(system.uri("influx"), BUCKET, 'SELECT "size", "id" FROM "transfers"'):
            state["sizes"][row["id"]].append(row["size"])
        return state

    def check(self, system):
        """Violations, in words. Nothing may be under way."""
        s, wrong = self.read(system), []
        there = set(s["rows"])
        committed = self.committed()

        def must(holds, *words):
            if not holds:
                wrong.append(" ".join(str(w) for w in words))

        must(not s["prepared"], "open: prepared in PostgreSQL:", s["prepared"])
        must(not self.client.contradictions, "once: results that differ:", self.client.contradictions[:3])
        for name in ("notes", "edges", "sizes"):
            must(set(s[name]) == there, "all or nothing: PostgreSQL has", sorted(there - set(s[name]))[:5], f"that {name} lack;", name, "have",
                 sorted(set(s[name]) - there)[:5], "that PostgreSQL lacks")
        must(committed <= there, "durable: told committed, but not there:", sorted(committed - there)[:5])
        must(there <= committed, "no effect: there, but told otherwise:", [(t, self.outcome(t)) for t in sorted(there - committed)[:5]])
        for t in self.untold():
            wrong.append(f"answers: {t} was never answered")
        touched = collections.defaultdict(list)
        for t in there & set(self.sent):
            source, target, amount, number, _ = self.sent[t]
            for a in (source, target):
                touched[a].append(t)
            must(s["rows"][t][0] == amount, "state:", t, "amount", s["rows"][t], "instead of", amount)
            must(s["notes"].get(t) == {"of": t, "list": [number]}, "state:", t, "note", s["notes"].get(t))
            must(s["edges"].get(t) == [source, target], "state:", t, "edges", s["edges"].get(t), "instead of", [source, target])
            must(s["sizes"].get(t) == [number], "once:", t, "points", s["sizes"].get(t), "instead of", [number])
        for a in self.accounts:
            mine = sorted(touched[a], key=lambda t: s["rows"][t][1])  # by seq: the order of conflicts
            balance = INITIAL + sum(self.sent[t][2] * (1 if self.sent[t][1] == a else -1) for t in mine)
            must(s["balances"].get(a) == balance, "state:", a, "balance", s["balances"].get(a), "instead of", balance)
            must(s["histories"].get(a) == mine, "order or once:", a, "history differs from the transfers in seq order:",
                 difference(s["histories"].get(a), mine))
            must(s["newest"].get(a, []) == mine[-1:], "state:", a, "newest", s["newest"].get(a), "instead of", mine[-1:])
            must(sorted(s["points"].get(a, [])) == sorted(self.sent[t][3] for t in mine), "once:", a, "points",
                 difference(sorted(s["points"].get(a, [])), sorted(self.sent[t][3] for t in mine)))
        return wrong


def difference(got, expected):
    if got is None:
        return "absent"
    for i, (x, y) in enumerate(zip(got, expected)):
        if x != y:
            return f"at {i}: {x} instead of {y} ({len(got)} and {len(expected)} in all)"
    return f"{len(got)} instead of {len(expected)}; more: {(got[len(expected):] or expected[len(got):])[:5]}"
