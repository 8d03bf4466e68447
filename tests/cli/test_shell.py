"""The shell, as a person at a terminal sees it."""
import os
import stat

from system import QUANTA, System, equal, has
from terminal import Terminal


def setup(scratch):
    s = System(scratch)
    for bucket in ("shop", "bank"):
        s.ok("bucket", "create", bucket)
    for statement in ("CREATE RECORD orders (id scalar string, customer document, total_cost scalar float, delivered_by relation to drivers, delivery_time metric unit duration);",
                      "CREATE RECORD drivers (id scalar string, name scalar string, rating scalar float, home relation to zones);",
                      "CREATE RECORD zones (id scalar string, zone_name scalar string);",
                      'INSERT INTO orders { id: "o1", customer: { name: "Ann" }, total_cost: 5.5 };'):
        s.ok("exec", "-b", "shop", statement)
    return s


def shell(s, *options):
    t = Terminal([QUANTA, "shell", *options], s.env)
    t.last((options[1] if "-b" in options else "quanta") + ">")
    return t


def leave(t):
    t.ready()
    t.type("\x04")
    equal(t.ends(), 0)


def test_the_banner_says_where_and_whether_data_persists(s):
    t = shell(s)
    t.sees(s.bootstrap, s.dir, "Ctrl-D", "\\?", "\\b")
    leave(t)
    t = shell(s, "--bootstrap", s.bootstrap)
    t.sees("Kafka at " + s.bootstrap)
    leave(t)


def test_a_statement_over_several_lines_runs_when_it_is_whole(s):
    t = shell(s, "-b", "shop")
    t.type("SELECT id,\r")
    t.last("shop->")
    t.type("  total_cost FROM orders\r")
    t.last("shop->")
    t.type(";\r")
    t.sees(" o1 |        5.5", "(1 row)")
    t.type("BEGIN;\r")
    t.last("shop*>")
    t.type('INSERT INTO zones { id: "z1" };\r')
    t.last("shop*>")
    t.type("ROLLBACK;\r")
    t.sees("ROLLED BACK")
    t.type("SELECT count(*) FROM zones; SELECT count(*) FROM drivers;\r\x04")  # typed ahead
    equal(t.ends(), 0)


def test_an_error_is_shown_with_its_line_and_a_caret(s):
    t = shell(s, "-b", "shop")
    for line in ("SELECT id", "FROM orders"):
        t.type(line + "\r")
        t.last("shop->")
    t.type("WHERE totl = 1;\r")
    t.sees("UNKNOWN_ATTRIBUTE", "line 3, column 7", "      3 | WHERE totl = 1;")
    t.last("shop>")
    lines = t.screen.text().splitlines()
    shown = max(i for i, line in enumerate(lines) if "| WHERE totl" in line)
    equal(lines[shown + 1].index("^"), lines[shown].index("totl"))
    t.last("shop>")
    leave(t)


def test_completion_of_keywords_records_attributes_and_paths(s):
    t = shell(s, "-b", "shop")
    line = ""
    for typed, shown in [("sel", "select "), ("id from or", "select id from orders"), (" wh", "select id from orders where "),
                         ("deli", "select id from orders where deliver")]:
        line += typed
        t.type(typed)
        t.last("shop> " + line)
        t.type("\t")
        t.last("shop> " + shown)
        line = shown
    t.type("\t")
    t.sees("delivered_by   delivery_time")
    t.last("shop> " + line)
    complete(t, line, "ed_by.ho", "select id from orders where delivered_by.home")
    complete(t, line + "ed_by.home", ".zo", "select id from orders where delivered_by.home.zone_name")
    t.type("\x03")
    t.last("shop>")
    complete(t, "", "INSERT INTO zo", "INSERT INTO zones")
    complete(t, "INSERT INTO zones", " { zo", "INSERT INTO zones { zone_name: ")
    t.type("\x03")
    t.last("shop>")
    complete(t, "", "SEL", "SELECT ")
    complete(t, "SELECT ", "id FROM orders OR", "SELECT id FROM orders ORDER ")
    complete(t, "SELECT id FROM orders ORDER ", "BY tot", "SELECT id FROM orders ORDER BY total_cost")
    t.type("\x03")
    t.last("shop>")
    complete(t, "", "USE ba", "USE bank")
    t.type(";\r")
    t.last("bank>")
    t.type("\\u sh")
    t.last("bank> \\u sh")
    t.type("\t")
    t.last("bank> \\u shop")
    t.type("\r")
    t.last("shop>")
    complete(t, "", "\\fo", "\\format ")
    complete(t, "\\format ", "js", "\\format json")
    t.type("\r")
    t.sees("format is json")
    leave(t)


def complete(t, before, typed, shown):
    t.type(typed)
    t.last("shop> " + before + typed)
    t.type("\t")
    t.last("shop> " + shown)


def test_completion_sees_what_was_defined_just_now(s):
    t = shell(s, "-b", "shop")
    t.type("SELECT id FROM acc")
    t.last("shop> SELECT id FROM acc")
    t.type("\t")  # nothing is called so; and what there is was asked for
    t.type("\x03")
    t.last("shop>")
    t.type("CREATE RECORD accounts (id scalar int, balance scalar int);\r")
    t.sees("CREATE RECORD 1")
    t.last("shop>")
    complete(t, "", "SELECT id FROM acc", "SELECT id FROM accounts")
    complete(t, "SELECT id FROM accounts", " WHERE bal", "SELECT id FROM accounts WHERE balance")
    t.type(" = 1;\r")
    t.sees("(0 rows)")
    t.last("shop>")
    t.type("DROP RECORD accounts;\r")
    t.sees("DROP RECORD 1")
    t.last("shop>")
    leave(t)


def test_ctrl_c_while_names_are_asked_for_clears_the_line(s):
    import signal
    t = shell(s, "-b", "shop")
    t.type("SELECT id FROM ord")
    t.last("shop> SELECT id FROM ord")
    s.dev.send_signal(signal.SIGSTOP)  # nobody answers what Tab asks
    try:
        t.type("\t")
        t.type("\x03")
        t.last("shop>")
    finally:
        s.dev.send_signal(signal.SIGCONT)
    leave(t)


def test_a_paste_with_tabs_is_not_completed(s):
    t = shell(s, "-b", "shop")
    t.type("SELECT id\r\tFROM orders\r\tWHERE id = 'o1';\r")
    t.sees("(1 row)")
    t.last("shop>")
    leave(t)


def test_ctrl_c_clears_and_ctrl_d_leaves(s):
    t = shell(s, "-b", "shop")
    t.type("SELECT half\r")
    t.last("shop->")
    t.type("of it\x03")
    t.last("shop>")
    for n in (2, 3):
        t.type("\x03")
        t.wait("another ^C", lambda text: text.count("^C") == n and t.cursor_line() == "shop>" and t.raw())
    t.type("SELECT id FROM orders;\r")
    t.sees("(1 row)")
    leave(t)


def test_backslash_commands(s):
    t = shell(s)
    t.type("\\?\r")
    t.sees("\\timing", "\\format table|json|csv", "\\i FILE")
    t.type("\\d\r")
    t.sees("no bucket is chosen")
    t.type("\\b\r")
    t.sees("bank", "shop", "(2 rows)")
    t.type("\\u nowhere\r")
    t.sees("no bucket is called nowhere")
    t.type("\\u shop\r")
    t.last("shop>")
    t.type("\\d\r")
    t.sees("drivers", "orders", "zones", "(3 rows)")
    t.clear()
    t.type("\\d orders;\r")
    t.sees("delivered_by", "relation", "drivers", "duration")
    t.type("\\d nothing\r")
    t.sees("UNKNOWN_RECORD")
    t.type("\\timing\r")
    t.sees("timing is on")
    t.clear()
    t.type("SELECT id, customer FROM orders;\r")
    t.sees("Time: ", "(1 row)")
    t.type("\\timing\r\\x\r")
    t.sees("expanded display is on")
    t.clear()
    t.type("SELECT id, customer FROM orders;\r")
    t.sees("-[ row 1 ]", 'customer | {"name":"Ann"}')
    assert "Time:" not in t.screen.text()
    t.type("\\x\r\\format csv\r")
    t.sees("format is csv")
    t.clear()
    t.type("SELECT id, customer.name FROM orders;\r")
    t.sees("id,customer.name", "o1,Ann")
    t.type("\\format json\r")
    t.type("SELECT id FROM orders;\r")
    t.sees('"rows":[["o1"]]')
    t.type("\\format xml\r")
    t.sees("\\format takes table, json or csv")
    t.type("\\frob\r")
    t.sees("unknown command \\frob")
    t.type("\\q\r")
    equal(t.ends(), 0)


def test_a_script_is_included(s):
    good = s.file("good.quantaql", 'INSERT INTO zones { id: "i1" };\nINSERT INTO zones { id: "i2" };\n')
    bad = s.file("bad.quantaql", 'INSERT INTO zones { id: "i3" };\n\nINSERT INTO zones { idd: "i4" };\nINSERT INTO zones { id: "i5" };\n')
    t = shell(s, "-b", "shop")
    t.type(f"\\i {good}\r")
    t.last("shop>")
    t.type(f"\\i {bad}\r")
    t.sees("bad.quantaql, line 3, column 21")
    t.type("\\i /does/not/exist\r")
    t.sees("No such file")
    t.type("DELETE FROM zones;\r")
    t.sees("DELETE 3")
    t.type("exit\r")
    equal(t.ends(), 0)


def test_history_is_private_kept_and_has_whole_statements(s):
    path = os.path.join(s.home, ".quanta", "history")
    if os.path.exists(path):
        os.chmod(path, 0o644)
    t = shell(s, "-b", "shop")
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    t.type("SELECT total_cost\rFROM orders -- a\\b\rWHERE id = 'o1';\r")
    t.sees("(1 row)")
    leave(t)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    equal(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
    t = shell(s, "-b", "shop")
    t.clear()
    t.type("\x1b[A")
    t.sees("SELECT total_cost", "FROM orders -- a\\b", "WHERE id = 'o1';")
    t.type("\r")
    t.sees("(1 row)")
    t.type("\x12total\r")
    leave(t)


def test_it_goes_on_when_the_system_was_restarted(s):
    t = shell(s, "-b", "shop")
    s.kill()
    t.type("SELECT id FROM orders;\r")
    t.sees("quanta dev")  # nothing listens, and what to do, or no result in time
    t.last("shop>")
    s.start()
    t.type("SELECT id, total_cost FROM orders;\r")
    t.sees("(1 row)")
    leave(t)


def test_ctrl_c_ends_the_waiting_for_a_statement(s):
    import signal
    t = shell(s, "-b", "shop")
    t.type("SELECT id FROM orders;\r")
    t.sees("(1 row)")
    t.ready()
    s.dev.send_signal(signal.SIGSTOP)
    try:
        t.clear()
        t.type("SELECT id FROM orders;\r")
        t.wait("the statement to be under way", lambda text: not t.raw())
        t.type("\x03")
        t.sees("interrupted")
        t.last("shop>")
    finally:
        s.dev.send_signal(signal.SIGCONT)
    t.clear()
    t.type("SELECT id FROM orders;\r")
    t.sees("(1 row)")
    leave(t)


def test_without_a_terminal_it_is_exec(s):
    equal(s.ok("shell", "--format", "csv", stdin=b"USE shop;\nSELECT id\nFROM orders;"), "id\r\no1\r\n")
    equal(s.ok("shell", "-b", "shop", "--format", "csv", stdin=b"SELECT id FROM orders;"), "id\r\no1\r\n")
    has(s.refused("shell", "-b", "shop", stdin=b"SELECT frob FROM orders;"), "UNKNOWN_ATTRIBUTE")
    has(s.expect(3, "shell", "--bootstrap", "127.0.0.1:1", stdin=b"SHOW BUCKETS;").err, "127.0.0.1:1")


def test_nobody_there_is_3_on_a_terminal_too(s):
    t = Terminal([QUANTA, "shell", "--bootstrap", "127.0.0.1:1"], s.env)
    t.sees("nothing listens at 127.0.0.1:1")
    equal(t.ends(), 3)
