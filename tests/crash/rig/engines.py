"""Each engine read with its own client: libpq (psycopg2), a MongoDB driver (pymongo), Neo4j's and InfluxDB's HTTP. Never through QuantaDB."""
import base64
import json
import urllib.parse
import urllib.request

import psycopg2
import pymongo

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def postgres(uri, sql):
    connection = psycopg2.connect(uri, connect_timeout=10)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()
    finally:
        connection.close()


def prepared(uri):
    """gids that are prepared and not decided."""
    return [row[0] for row in postgres(uri, "SELECT gid FROM pg_prepared_xacts")]


def mongo(uri, bucket, record):
    """All live documents, in single batches: a cursor that a killed reader leaves open would wedge the tests' server."""
    client = pymongo.MongoClient(uri, serverSelectionTimeoutMS=10000)
    try:
        found, last = [], None
        while True:
            answer = client[bucket].command("find", record, filter={"_id": {"$gt": last}} if last is not None else {}, sort={"_id": 1},
                                            limit=1000, batchSize=1000, singleBatch=True)
            page = answer["cursor"]["firstBatch"]
            found += page
            if len(page) < 1000:
                return [d for d in found if not d.get("_q_dead")]
            last = page[-1]["_id"]
    finally:
        client.close()


def _http(url, body=None, form=None, user=None):
    headers = {}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    data = None
    if body is not None:
        headers["Content-Type"], data = "application/json", json.dumps(body).encode()
    elif form is not None:
        data = urllib.parse.urlencode(form).encode()
    with _direct.open(urllib.request.Request(url, data=data, headers=headers), timeout=60) as reply:
        return json.load(reply)


def neo4j(uri, cypher):
    parts = urllib.parse.urlsplit(uri)
    plain = f"{parts.scheme}://{parts.hostname}:{parts.port}"
    answer = _http(f"{plain}/db/neo4j/tx/commit", body={"statements": [{"statement": cypher}]}, user=f"{parts.username}:{parts.password}")
    if answer["errors"]:
        raise AssertionError(str(answer["errors"]))
    return [tuple(d["row"]) for d in answer["results"][0]["data"]]


def influx(uri, bucket, influxql):
    """Rows as dictionaries by column; the tags of a GROUP BY among them."""
    answer = _http(uri.rstrip("/") + "/query?epoch=ns&db=" + urllib.parse.quote(bucket), form={"q": influxql})
    rows = []
    for result in answer["results"]:
        if "error" in result:
            raise AssertionError(result["error"])
        for series in result.get("series", ()):
            rows += [{**series.get("tags", {}), **dict(zip(series["columns"], values))} for values in series["values"]]
    return rows
