"""Generated cases: principal x operation x record x fields x rows, each over HTTP and Kafka, against a model that shares nothing with the code.

SEED=n chooses others, CASES=n how many. A case that fails prints itself, what came and what the model says."""
import os
import random
import sys
import tempfile

from world import Suite, api_key, code_of, token

CASES = int(os.environ.get("CASES", "700"))
SEED = int(os.environ.get("SEED", "1"))

RECORDS = {"orders": ["id", "owner", "total", "note", "secret", "driver"], "drivers": ["id", "owner", "name", "rating"], "vault": ["id", "code"]}
DEFINE = ["CREATE RECORD drivers (owner scalar string, name scalar string, rating scalar int)", "CREATE RECORD vault (code scalar string)",
          "CREATE RECORD orders (owner scalar string, total scalar int, note scalar string, secret scalar string, driver relation to drivers)"]
ROWS = {
    "drivers": [{"id": f"d{i}", "owner": ["alice", "bob", None][i % 3], "name": f"n{i}", "rating": i} for i in range(5)],
    "vault": [{"id": "v1", "code": "x"}],
    "orders": [{"id": f"o{i}", "owner": ["alice", "bob", "carol", None][i % 4], "total": i * 10, "note": ["a", "b", None][i % 3], "secret": f"s{i % 2}",
                "driver": f"d{i % 6}"} for i in range(16)],
}


class Grant:
    def __init__(self, role, privilege, record, fields=None, where=None, holds=None):
        self.role, self.privilege, self.record, self.fields, self.where = role, privilege, record, fields, where
        self.holds = holds or (lambda row, claims: True)

    def covers(self, field):
        return self.privilege != "DELETE" and (self.fields is None or field in self.fields)

    def text(self):
        fields = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"GRANT {self.privilege}{fields} ON {self.record} TO {self.role}" + (f" WHERE {self.where}" if self.where else "")


def own(row, claims):
    return row["owner"] is not None and claims.get("sub") is not None and row["owner"] == claims["sub"]


def cheap(row, claims):
    return row["total"] is not None and row["total"] < 60


GRANTS = [
    Grant("reader", "SELECT", "orders"), Grant("reader", "SELECT", "drivers", ["id", "name"]),
    Grant("analyst", "SELECT", "orders", ["id", "total"]), Grant("analyst", "SELECT", "orders", ["note"], "total < 60", cheap),
    Grant("owner", "SELECT", "orders", ["id", "owner", "total", "note", "driver"], "owner = $jwt.sub", own),
    Grant("owner", "INSERT", "orders", None, "owner = $jwt.sub", own), Grant("owner", "UPDATE", "orders", ["note", "owner"], "owner = $jwt.sub", own),
    Grant("owner", "DELETE", "orders", None, "owner = $jwt.sub AND total < 60", lambda r, c: own(r, c) and cheap(r, c)),
    Grant("owner", "SELECT", "drivers", ["id", "name", "owner"], "owner = $jwt.sub", own),
    Grant("clerk", "INSERT", "orders", ["id", "note", "total"], "total < 60", cheap), Grant("clerk", "SELECT", "orders", ["id"]),
    Grant("clerk", "UPDATE", "orders", ["total"], "total < 60", cheap),
    Grant("regional", "SELECT", "orders", ["id", "owner"], "owner IN $jwt.owners", lambda r, c: r["owner"] is not None and r["owner"] in c.get("owners", [])),
    Grant("writer", "UPDATE", "orders"), Grant("writer", "DELETE", "orders"), Grant("writer", "SELECT", "orders", ["id", "secret"], "secret = \"s1\"",
                                                                                   lambda r, c: r["secret"] == "s1"),
    Grant("dispatcher", "SELECT", "orders", ["id", "driver"]), Grant("dispatcher", "SELECT", "drivers", ["name"], "rating > 1", lambda r, c: r["rating"] > 1),
    Grant("blind", "DELETE", "drivers"),
]
ROLES = sorted({g.role for g in GRANTS}) + ["nothing"]


class Refused(Exception):
    pass


class Model:
    def __init__(self, roles, claims):
        self.roles, self.claims = roles, claims

    def grants(self, record, privilege=None):
        return [g for g in GRANTS if g.role in self.roles and g.record == record and privilege in (None, g.privilege)]

    def know(self, record):
        if not self.grants(record):
            raise Refused("UNKNOWN_RECORD" if any(self.grants(r) for r in RECORDS) else "UNKNOWN_BUCKET")

    def know_field(self, record, field):
        if not any(g.covers(field) for g in self.grants(record)):
            raise Refused("UNKNOWN_ATTRIBUTE")

    def may(self, record, privilege, field=None):
        if not any(field is None or g.covers(field) for g in self.grants(record, privilege)):
            raise Refused("FORBIDDEN")

    def read(self, record, field):
        self.know_field(record, field)
        self.may(record, "SELECT", field)

    def allows(self, record, privilege, fields, row):
        grants = self.grants(record, privilege)
        sets = [[g for g in grants if g.covers(f)] for f in fields] or [grants]
        return all(any(g.holds(row, self.claims) for g in some) for some in sets)

    def knows(self, record):
        return bool(self.grants(record))

    # ---- statements ----

    def select(self, s):
        self.know(s["record"])
        base, via = [], []

        def read(name):
            if "." in name:
                hop, end = name.split(".")
                self.read("orders", hop)
                base.append(hop)
                if self.knows("drivers"):
                    self.read("drivers", end)
                    via.append(end)
                return
            self.read(s["record"], name)
            base.append(name)

        columns = list(s["columns"])
        for c in columns:
            if c not in ("*", "count(*)"):
                read(c)
        if "*" in columns:
            self.may(s["record"], "SELECT")
            every = [f for f in RECORDS[s["record"]] if any(g.covers(f) for g in self.grants(s["record"], "SELECT"))]
            base += every
            columns = every + [c for c in columns if c != "*"]
        for part in ("where", "order"):
            if s.get(part):
                read(s[part][0])
        self.may(s["record"], "SELECT")

        def value(row, name):
            if "." not in name:
                return row[name]
            hop, end = name.split(".")
            if not self.knows("drivers"):
                return None
            far = [d for d in ROWS["drivers"] if d["id"] == row[hop] and self.allows("drivers", "SELECT", via, d)]
            return far[0][end] if far else None

        rows = [r for r in ROWS[s["record"]] if self.allows(s["record"], "SELECT", base, r) and (not s.get("where") or compare(value(r, s["where"][0]), *s["where"][1:]))]
        if "count(*)" in columns:
            return [[len(rows)]]
        if s.get("order"):
            rows.sort(key=lambda r: (value(r, s["order"][0]) is None, value(r, s["order"][0]) or 0 if not isinstance(value(r, s["order"][0]), str) else value(r, s["order"][0]), r["id"]))
        else:
            rows.sort(key=lambda r: r["id"])
        return [[value(r, c) for c in columns] for r in rows]

    def write(self, s):
        self.know(s["record"])
        kind, record = s["kind"].upper(), s["record"]
        assigned = s.get("set", {})
        for f in assigned:
            self.know_field(record, f)
        base = []
        if s.get("where"):
            self.read(record, s["where"][0])
            base.append(s["where"][0])
        self.may(record, kind)
        for f in assigned:
            self.may(record, kind, f)
        if kind == "INSERT":
            new = {f: None for f in RECORDS[record]} | assigned
            if not self.allows(record, kind, list(assigned), new):
                raise Refused("FORBIDDEN")
            return 1
        rows = [r for r in ROWS[record] if self.allows(record, kind, list(assigned), r) and (not base or self.allows(record, "SELECT", base, r))
                and (not s.get("where") or compare(r[s["where"][0]], *s["where"][1:]))]
        if kind == "UPDATE" and any(not self.allows(record, kind, list(assigned), {**r, **assigned}) for r in rows):
            raise Refused("FORBIDDEN")
        return len(rows)


def compare(value, op, literal):
    if value is None:
        return False
    return {"=": value == literal, "<": value < literal, ">": value > literal}[op]


# ---- generating ----

def literal(rng, record, field):
    if field in ("total", "rating"):
        return rng.choice([0, 2, 30, 50, 70, 200])
    row = rng.choice(ROWS[record])
    return row.get(field) or "a"


def condition(rng, record, fields):
    field = rng.choice(fields)
    return (field, "=" if field not in ("total", "rating") else rng.choice("=<>"), literal(rng, record, field))


def show(v):
    return "NULL" if v is None else str(v) if isinstance(v, int) else f'"{v}"'


def generate(rng, model):
    """Two of three ask for what some grant of theirs names, so that rows are compared as often as refusals."""
    friendly = rng.random() < 0.67
    record = rng.choices(["orders", "drivers", "vault"], [8, 3, 1])[0]
    kind = rng.choices(["select", "insert", "update", "delete"], [6, 2, 3, 2])[0]
    if friendly:
        record = "orders" if rng.random() < 0.8 else "drivers"
        kinds = sorted({g.privilege.lower() for g in model.grants(record)})
        kind = rng.choice(kinds) if kinds and rng.random() < 0.6 else kind

    def choose(privilege):
        some = [f for f in RECORDS[record] if any(g.covers(f) for g in model.grants(record, privilege))]
        return some if friendly and some else RECORDS[record]

    fields = choose("SELECT")
    plain = [f for f in fields if f != "driver"] or ["id"]
    s = {"kind": kind, "record": record}
    where = condition(rng, record, plain) if rng.random() < 0.6 else None
    if kind == "select":
        choice = rng.random()
        paths = ["driver.name", "driver.rating", "driver.owner"] if record == "orders" else []
        s["columns"] = ["*"] if choice < 0.2 else ["count(*)"] if choice < 0.35 else rng.sample(fields + paths, rng.randint(1, min(3, len(fields + paths))))
        s["where"] = where
        if paths and rng.random() < 0.25:
            path = rng.choice(paths)
            s["where"] = (path, "=", literal(rng, "drivers", path.split(".")[1]))
        if choice >= 0.35 and rng.random() < 0.3:
            s["order"] = (rng.choice([f for f in plain]),)
        text = f"SELECT {', '.join(s['columns'])} FROM {record}"
    elif kind == "insert":
        s["set"] = {"id": "new_" + str(rng.randrange(10**9))}
        able = [f for f in choose("INSERT") if f not in ("id", "driver")]
        for f in rng.sample(able, rng.randint(0, min(3, len(able)))):
            s["set"][f] = literal(rng, record, f)
        text = f"INSERT INTO {record} {{ {', '.join(f'{k}: {show(v)}' for k, v in s['set'].items())} }}"
    elif kind == "update":
        able = [f for f in choose("UPDATE") if f not in ("id", "driver")]
        s["set"] = {f: literal(rng, record, f) for f in rng.sample(able, rng.randint(1, min(2, len(able))))}
        s["where"] = where
        text = f"UPDATE {record} SET {', '.join(f'{k} = {show(v)}' for k, v in s['set'].items())}"
    else:
        s["where"] = where
        text = f"DELETE FROM {record}"
    if s.get("where"):
        text += f" WHERE {s['where'][0]} {s['where'][1]} {show(s['where'][2])}"
    if s.get("order"):
        text += f" ORDER BY {s['order'][0]}"
    return s, text if kind == "select" else f"BEGIN TRANSACTION; {text}; ROLLBACK;"


def expected(model, s):
    try:
        return None, model.select(s) if s["kind"] == "select" else model.write(s)
    except Refused as refused:
        return str(refused), None


def got(answer, s):
    if answer["status"] in ("committed", "rolled_back"):
        r = answer["results"][0]
        return None, r["rows"] if s["kind"] == "select" else r["count"]
    return code_of(answer), None


def hidden_names(model):
    """Names that the principal must never be told."""
    names = set()
    for record, fields in RECORDS.items():
        if not model.knows(record):
            names.add(record)
        names |= {f for f in fields if not any(any(g.covers(f) for g in model.grants(r)) for r in RECORDS if f in RECORDS[r])}
    return names - {"id"}


def check_leak(model, text, answer):
    error = answer.get("error") or {}
    for name in hidden_names(model):
        for part in (error.get("message") or "", error.get("hint") or ""):
            assert name in text or name not in part, f"{name} leaks: {error}"


def principals(suite):
    key, key_hash = api_key("shop", "nightly")
    suite.admin_does("shop", f'CREATE KEY nightly FOR ROLE analyst HASH "{key_hash}"')
    out = [("ApiKey " + key, Model(["analyst"], {}))]
    for sub, roles, claims in [("alice", ["owner"], {}), ("bob", ["owner", "analyst"], {}), ("carol", ["reader"], {}), ("dan", ["clerk"], {}), ("erin", ["writer"], {}),
                               ("frank", ["regional"], {"owners": ["alice", "carol"]}), ("grace", ["regional"], {}), ("heidi", ["dispatcher"], {}), ("ivan", [], {}),
                               ("judy", ["nothing"], {}), ("mallory", ["blind"], {}), ("nick", ["owner", "dispatcher", "no_such_role"], {}), ("alice", ["writer", "clerk"], {})]:
        out.append((token(sub, roles, **claims), Model(roles, {"sub": sub, **claims})))
    return out


def setup(suite):
    status, answer = suite.call("POST", "/bucket/create", suite.admin, '{"name": "shop"}', type="application/json")
    assert status in (200, 201), answer
    suite.admin_does("shop", *DEFINE)
    for record in ("drivers", "vault", "orders"):
        for row in ROWS[record]:
            fields = ", ".join(f"{k}: " + (f'relation("{v}")' if k == "driver" else show(v)) for k, v in row.items())
            suite.admin_does("shop", f"INSERT INTO {record} {{ {fields} }}")
    suite.admin_does("shop", *[f"CREATE ROLE {r}" for r in ROLES], *[g.text() for g in GRANTS])


def rows_by_id(suite, who, model):
    """The resources of rows are statements, too: a hidden row is ROW_NOT_FOUND."""
    cases = 0
    for row in random.Random(SEED).sample(ROWS["orders"], 4):
        code, rows = expected(model, {"kind": "select", "record": "orders", "columns": ["*"], "where": ("id", "=", row["id"])})
        status, answer = suite.call("GET", f"/bucket/shop/record/orders/rows/{row['id']}", who)
        if code or not rows:
            assert status >= 400 and answer["code"] == (code or "ROW_NOT_FOUND"), (row, status, answer, code)
        else:
            every = [f for f in RECORDS["orders"] if any(g.covers(f) for g in model.grants("orders", "SELECT"))]
            assert status == 200 and {k: v for k, v in answer.items() if k in RECORDS["orders"] and v is not None} == \
                {k: v for k, v in zip(every, rows[0]) if v is not None}, (answer, every, rows)
        cases += 1
    return cases


def unknown_like_undefined(suite, who, model):
    """A field that is hidden is answered like one that nobody defined: the same but for the name that was asked for."""
    cases = 0
    for record in RECORDS:
        if not model.knows(record):
            pairs = [(f"SELECT * FROM {record}", record, "qzzzzzq"), (f"DROP RECORD {record}", record, "qzzzzzq"), (f"INSERT INTO {record} {{id: 'x'}}", record, "qzzzzzq"),
                     (f"SHOW RECORD {record}", record, "qzzzzzq")]
        else:
            hidden = [f for f in RECORDS[record] if not any(g.covers(f) for g in model.grants(record))]
            pairs = []
            for f in hidden:
                pairs += [(t.format(f=f, r=record), f, "qzzzzzq") for t in ("SELECT {f} FROM {r}", "SELECT count(*) FROM {r} WHERE {f} = 1", "SELECT count(*) FROM {r} GROUP BY {f}",
                          "SELECT count(*) AS n FROM {r} HAVING max({f}) > 1", "UPDATE {r} SET {f} = 'x'", "INSERT INTO {r} {{ id: 'x', {f}: 1 }}", "SELECT path({f} -> x).y FROM {r}")]
        for text, name, other in pairs:
            a, b = suite.rest("shop", text, who), suite.rest("shop", text.replace(name, other), who)
            assert a["status"] == b["status"] == "refused" and a["http"] == b["http"], (text, a, b)
            ea, eb = a["error"], b["error"]
            assert ea["code"] == eb["code"] and ea["message"].replace(name, other) == eb["message"], (text, ea, eb)
            assert name not in (ea["hint"] or ""), (text, ea)
            cases += 1
    return cases


def main():
    rng = random.Random(SEED)
    cases = denied = 0
    with tempfile.TemporaryDirectory() as scratch:
        suite = Suite(scratch)
        try:
            setup(suite)
            people = principals(suite)
            for n in range(CASES):
                who, model = rng.choice(people)
                s, text = generate(rng, model)
                want = expected(model, s)
                for transport in (suite.rest, suite.kafka):
                    answer = transport("shop", text, who)
                    if got(answer, s) != want:
                        print(f"case {n} (SEED={SEED}) over {transport.__name__}: roles {model.roles} {model.claims}\n  {text}\n  got   {got(answer, s)}\n  model {want}\n  {answer.get('error')}")
                        return 1
                    check_leak(model, text, answer)
                    cases += 1
                denied += want[0] is not None
            for who, model in people:
                cases += rows_by_id(suite, who, model) + unknown_like_undefined(suite, who, model)
            for who in (None, "Bearer x", "Basic YTpi"):
                for transport in (suite.rest, suite.kafka):
                    assert code_of(transport("shop", "SELECT * FROM orders", who)) == "UNAUTHENTICATED"
                    cases += 1
            # What was rolled back and refused has changed nothing.
            everything = suite.rest("shop", "SELECT id, note, owner, total FROM orders", suite.admin)["results"][0]["rows"]
            assert everything == sorted([r["id"], r["note"], r["owner"], r["total"]] for r in ROWS["orders"]), everything
            audit = [line["msg"] for line in suite.log() if line["msg"].startswith("audit: denied")]
            assert len(audit) >= denied, (len(audit), denied)
        finally:
            suite.close()
    print(f"{cases} cases, {denied} of the {CASES} generated ones refused: as the model says (SEED={SEED})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
