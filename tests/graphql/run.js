'use strict';
// graphql-js, the reference implementation, as a client of a real quanta dev: it builds the schema from our introspection, validates every query against it, and
// what comes back is compared with what was written. Documents that it refuses, we refuse, and the other way round.
const assert = require('assert');
const http = require('http');
const { buildClientSchema, getIntrospectionQuery, validateSchema, validate, parse, printSchema, execute, lexicographicSortSchema } = require('graphql');

const [host, port] = process.env.QUANTA_HTTP.split(':');
const agent = new http.Agent({ keepAlive: true });
let passed = 0;

function post(path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const request = http.request({ host, port, path, method: 'POST', agent,
      headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text), ...headers } }, (answer) => {
      let all = '';
      answer.setEncoding('utf8');
      answer.on('data', (part) => { all += part; });
      answer.on('end', () => resolve({ status: answer.statusCode, type: answer.headers['content-type'], json: all ? JSON.parse(all) : null, text: all }));
    });
    request.on('error', reject);
    request.end(text);
  });
}

const bucket = 'shop';
const gql = (query, variables, headers, operationName) => post(`/bucket/${bucket}/graphql`, { query, variables, operationName }, headers);
const qql = (query) => post(`/bucket/${bucket}/query`, { query });

async function check(what, test) {
  try {
    await test();
    passed++;
  } catch (e) {
    console.error(`FAILED: ${what}\n${e.stack}`);
    process.exitCode = 1;
  }
}

const records = [
  { record: 'drivers', attributes: { id: { type: 'scalar', datatype: 'string' }, name: { type: 'scalar', datatype: 'string' },
    boss: { type: 'relation', target: 'drivers' }, trips: { type: 'scalar', datatype: 'int' } } },
  { record: 'orders', attributes: {
    id: { type: 'scalar', datatype: 'int' }, customer: { type: 'document' }, total: { type: 'scalar', datatype: 'float' },
    n: { type: 'scalar', datatype: 'int' }, price: { type: 'scalar', datatype: 'decimal' }, token: { type: 'scalar', datatype: 'uuid' },
    placed: { type: 'scalar', datatype: 'time' }, took: { type: 'scalar', datatype: 'duration' }, blob: { type: 'scalar', datatype: 'bytes' },
    paid: { type: 'scalar', datatype: 'bool' }, note: { type: 'scalar', datatype: 'string' },
    driver: { type: 'relation', target: 'drivers' }, stops: { type: 'relation', target: 'drivers', cardinality: 'many' },
    lost: { type: 'relation', target: 'nowhere' }, heat: { type: 'metric' }, delay: { type: 'metric', unit: 'duration' } } },
];

const uuid = '6f9619ff-8b86-d011-b42d-00cf4fc964ff';
const fill = `mutation ($rows: [ordersInput!]!) {
  driversInsert(rows: [{id: "d1", name: "Al", trips: 3}, {id: "d2", name: "Bo", boss: "d1", trips: 5}, {id: "d3", name: "Cy", boss: "d2"}]) { count }
  ordersInsert(rows: $rows) { count seq txid } }`;
const rows = [
  { id: 1, customer: { name: 'Ann', tags: ['a', 'b'], address: { city: 'Bern' } }, total: 10.5, n: '9007199254740993', price: '1.10', token: uuid,
    placed: '2024-01-02T03:04:05Z', took: 'P1DT2H', blob: 'aGk=', paid: true, note: 'first', driver: 'd2', stops: ['d1', 'd3'], lost: 'x', heat: 1.5, delay: 'PT5M' },
  { id: '2', customer: { name: 'Ben' }, total: 20, n: 2, price: 2.5, paid: false, note: 'second "quoted" \\ ü', driver: 'd3', stops: ['d2'], heat: 3 },
  { id: 3, customer: [1, 2, 3], total: 30, n: 3, driver: 'gone', stops: [] },
  { id: 4, total: 5, n: 1, paid: true, note: "'; DROP RECORD orders; --", placed: '2025-01-01T00:00:00Z' },
];

// [what, query, variables, expected data]
const ids = (...list) => ({ orders: list.map((id) => ({ id: String(id) })) });
const where = (text, ...expected) => [text, `{ orders(where: {${text}}) { id } }`, undefined, ids(...expected)];
const queries = [
  ['all', '{ orders { id } }', undefined, ids(1, 2, 3, 4)],
  ['names', '{ recordNames }', undefined, { recordNames: ['drivers', 'orders'] }],
  ['typename', '{ __typename t: __typename ordersById(id: 1) { __typename } }', undefined, { __typename: 'Query', t: 'Query', ordersById: { __typename: 'orders' } }],
  ['every scalar', '{ ordersById(id: 1) { id total price token placed took blob paid note heat delay } }', undefined, { ordersById: { id: '1', total: 10.5, price: '1.1',
    token: uuid, placed: '2024-01-02T03:04:05Z', took: 'P1DT2H', blob: 'aGk=', paid: true, note: 'first', heat: 1.5, delay: 'PT5M' } }],
  ['id as a string', '{ ordersById(id: "2") { note } }', undefined, { ordersById: { note: rows[1].note } }],
  ['no such row', '{ ordersById(id: 77) { note } }', undefined, { ordersById: null }],
  ['document', '{ ordersById(id: 1) { customer } }', undefined, { ordersById: { customer: rows[0].customer } }],
  ['parts of a document', '{ ordersById(id: 1) { a: customer(path: "name") b: customer(path: "tags[1]") c: customer(path: "address.city") d: customer(path: "no.such") } }', undefined,
    { ordersById: { a: 'Ann', b: 'b', c: 'Bern', d: null } }],
  ['a document that is an array', '{ ordersById(id: 3) { customer(path: "[2]") } }', undefined, { ordersById: { customer: 3 } }],
  ['relation to one', '{ ordersById(id: 1) { driver { id name } driverId } }', undefined, { ordersById: { driver: { id: 'd2', name: 'Bo' }, driverId: 'd2' } }],
  ['relation to many, in order', '{ orders(limit: 2) { stops { name } stopsIds } }', undefined,
    { orders: [{ stops: [{ name: 'Al' }, { name: 'Cy' }], stopsIds: ['d1', 'd3'] }, { stops: [{ name: 'Bo' }], stopsIds: ['d2'] }] }],
  ['a relation that leads nowhere', '{ ordersById(id: 3) { driver { id } driverId stops { id } } }', undefined, { ordersById: { driver: null, driverId: 'gone', stops: [] } }],
  ['a target that is not defined', '{ ordersById(id: 1) { lostId } }', undefined, { ordersById: { lostId: 'x' } }],
  ['relations of relations', '{ orders(limit: 2) { driver { name boss { name boss { name boss { name } } } } } }', undefined,
    { orders: [{ driver: { name: 'Bo', boss: { name: 'Al', boss: null } } }, { driver: { name: 'Cy', boss: { name: 'Bo', boss: { name: 'Al', boss: null } } } }] }],
  ['many with a condition', '{ ordersById(id: 1) { stops(where: {name: {eq: "Cy"}}) { name } all: stops { name } } }', undefined,
    { ordersById: { stops: [{ name: 'Cy' }], all: [{ name: 'Al' }, { name: 'Cy' }] } }],
  ['limit and offset', '{ orders(limit: 2, offset: 1) { id } }', undefined, ids(2, 3)],
  ['limit 0', '{ orders(limit: 0) { id } }', undefined, ids()],
  ['order', '{ orders(orderBy: [{total: DESC}]) { id } }', undefined, ids(3, 2, 1, 4)],
  ['order, nulls last', '{ orders(orderBy: {paid: ASC}) { id } }', undefined, ids(2, 1, 4, 3)],
  ['order, nulls first', '{ orders(orderBy: {paid: DESC_NULLS_FIRST}) { id } }', undefined, ids(3, 1, 4, 2)],
  ['order by two', '{ orders(orderBy: [{paid: ASC}, {total: ASC}]) { id } }', undefined, ids(2, 4, 1, 3)],
  ['order by two in one', '{ orders(orderBy: [{paid: ASC, total: ASC}]) { id } }', undefined, ids(2, 4, 1, 3)],
  where('id: {eq: 2}', 2), where('id: {in: [1, "3"]}', 1, 3), where('id: {notIn: [1, 3]}', 2, 4), where('total: {gt: 10}', 1, 2, 3), where('total: {gt: 10, le: 20}', 1, 2),
  where('total: {ne: 20}', 1, 3, 4), where('n: {eq: 9007199254740993}', 1), where('n: {ge: 2, lt: 3}', 2), where('price: {eq: 1.1}', 1), where('price: {gt: "2"}', 2),
  where(`token: {eq: "${uuid.toUpperCase()}"}`, 1), where('placed: {lt: "2024-06-01T00:00:00Z"}', 1), where('took: {gt: "P1D"}', 1), where('paid: {eq: true}', 1, 4),
  where('paid: {isNull: true}', 3), where('paid: {isNull: false}', 1, 2, 4), where('note: {like: "%quoted%"}', 2), where(String.raw`note: {eq: "'; DROP RECORD orders; --"}`, 4),
  where('note: {eq: """first"""}', 1), where(String.raw`note: {eq: "\u0066irst"}`, 1), where('heat: {gt: 2}', 2), where('delay: {le: "PT5M"}', 1),
  where('customer: {path: "name", eq: "Ben"}', 2), where('customer: {path: "tags[0]", eq: "a"}', 1), where('customer: {path: "address.city", in: ["Bern", "Basel"]}', 1),
  where('customer: {isNull: true}', 4), where('customer: {eq: [1, 2, 3]}', 3), where('driver: {name: {eq: "Bo"}}', 1), where('driver: {boss: {name: {eq: "Bo"}}}', 2),
  where('stops: {id: {eq: "d2"}}', 2), where('driverIsNull: true', 4), where('OR: [{id: {eq: 1}}, {total: {eq: 5}}]', 1, 4), where('OR: []'), where('AND: []', 1, 2, 3, 4),
  where('NOT: {total: {gt: 10}}', 4), where('NOT: {OR: [{id: {eq: 1}}, {NOT: {n: {lt: 3}}}]}', 2, 4), where('AND: [{n: {gt: 1}}, {paid: {eq: false}}]', 2), where('', 1, 2, 3, 4),
  ['variables', 'query ($id: ID!, $n: Int = 1) { ordersById(id: $id) { id } orders(limit: $n) { id } }', { id: 3 }, { ordersById: { id: '3' }, ...ids(1) }],
  ['a variable for a whole condition', 'query ($w: ordersWhere) { orders(where: $w) { id } }', { w: { note: { eq: 'first' }, AND: [{ total: { gt: 1 } }] } }, ids(1)],
  ['a variable within', 'query ($t: Float!, $l: [ID!]) { orders(where: {total: {gt: $t}, id: {in: $l}}) { id } }', { t: 10, l: ['1', '4'] }, ids(1)],
  ['a variable that is not given', 'query ($w: ordersWhere) { orders(where: $w) { id } }', {}, ids(1, 2, 3, 4)],
  ['a value is never text', 'query ($x: String!) { orders(where: {note: {eq: $x}}) { id } }', { x: "x' OR TRUE; --" }, ids()],
  ['an enum as a variable', 'query ($o: Order!) { orders(orderBy: [{total: $o}], limit: 1) { id } }', { o: 'DESC' }, ids(3)],
  ['fragments', 'query { ordersById(id: 1) { ...a ... on orders { total } ... { n2: note } } } fragment a on orders { id driver { ...d } } fragment d on drivers { name }', undefined,
    { ordersById: { id: '1', driver: { name: 'Bo' }, total: 10.5, n2: 'first' } }],
  ['fields of one key become one', '{ ordersById(id: 1) { driver { id } driver { name } } }', undefined, { ordersById: { driver: { id: 'd2', name: 'Bo' } } }],
  ['aliases', '{ a: ordersById(id: 1) { x: id } b: ordersById(id: 2) { x: id } }', undefined, { a: { x: '1' }, b: { x: '2' } }],
  ['skip and include', 'query ($y: Boolean!, $n: Boolean!) { ordersById(id: 1) { id @include(if: $y) note @skip(if: $y) total @include(if: $n) ... @include(if: $n) { paid } } }',
    { y: true, n: false }, { ordersById: { id: '1' } }],
  ['count', '{ ordersAggregate { count } }', undefined, { ordersAggregate: [{ count: 4 }] }],
  ['aggregates', '{ ordersAggregate(where: {id: {le: 3}}) { count sum { total } avg { total } min { total n id } max { placed } } }', undefined,
    { ordersAggregate: [{ count: 3, sum: { total: 60.5 }, avg: { total: 60.5 / 3 }, min: { total: 10.5, n: 2, id: '1' }, max: { placed: '2024-01-02T03:04:05Z' } }] }],
  ['groups', '{ ordersAggregate(groupBy: [paid]) { key { paid } count sum { total } } }', undefined,
    { ordersAggregate: [{ key: { paid: false }, count: 1, sum: { total: 20 } }, { key: { paid: true }, count: 2, sum: { total: 15.5 } }, { key: { paid: null }, count: 1, sum: { total: 30 } }] }],
  ['aggregate of a metric', '{ ordersAggregate { max { heat } } }', undefined, { ordersAggregate: [{ max: { heat: 3 } }] }],
  ['two records in one', '{ drivers(where: {trips: {gt: 3}}) { name } orders(limit: 1) { id } }', undefined, { drivers: [{ name: 'Bo' }], ...ids(1) }],
  ['comments and commas', '# one\n{ orders(limit: 1,,) { id, # two\n } }', undefined, ids(1)],
  ['a type by its name', '{ __type(name: "drivers") { kind name fields { name } } none: __type(name: "nope") { name } }', undefined,
    { __type: { kind: 'OBJECT', name: 'drivers', fields: ['id', 'name', 'boss', 'bossId', 'trips'].map((name) => ({ name })) }, none: null }],
];

// Refused by graphql-js' parser or validation: and by us.
const refused = ['{', '{ orders }', '{ orders { nope } }', '{ orders { id { x } } }', '{ orders(nope: 1) { id } }', '{ orders(limit: "1") { id } }', '{ orders(limit: 1.5) { id } }',
  '{ ordersById { id } }', '{ ordersById(id: null) { id } }', 'query ($x: Int) { orders(limit: $y) { id } }', 'query ($x: Int) { orders { id } }',
  'query ($x: String) { orders(limit: $x) { id } }', 'query ($x: ID) { ordersById(id: $x) { id } }', 'query ($x: Nope) { orders(limit: $x) { id } }',
  'query ($x: Int, $x: Int) { orders(limit: $x) { id } }', '{ orders { ...nope } }', '{ orders { ...a } } fragment a on orders { ...b } fragment b on orders { ...a }',
  'fragment a on orders { id } { orders { id } }', '{ orders { ...a } } fragment a on drivers { id }', '{ orders { ... on Nope { id } } }', '{ a: orders { id } a: drivers { id } }',
  '{ orders(limit: 1) { id } orders(limit: 2) { id } }', '{ orders { x: id x: note } }', '{ orders { id @nope } }', '{ orders { id @skip } }', '{ orders { id @skip(if: 1) } }',
  '{ orders { id @skip(if: true) @skip(if: true) } }', 'query @skip(if: true) { orders { id } }', '{ orders(orderBy: [{total: UP}]) { id } }', '{ orders(where: {total: {nope: 1}}) { id } }',
  '{ orders(where: {nope: {eq: 1}}) { id } }', '{ orders(where: {total: {eq: 1, eq: 2}}) { id } }', '{ orders(limit: 1, limit: 1) { id } }', 'query a { recordNames } query a { recordNames }',
  '{ recordNames } { recordNames }', 'mutation { ordersInsert(rows: [{total: 1}]) { count } }', 'mutation { orders { id } }', '{ orders(limit: 01) { id } }',
  '{ orders(where: {note: {eq: "a\nb"}}) { id } }', '{ orders {} }', '{ orders(where: {note: {eq: $x}}) { id } }', 'type X { a: Int }', '{ __schema }', '{ orders { id(x: 1) } }'];

async function main() {
  assert.equal((await post('/bucket/create', { name: bucket })).status, 201);
  await check('an empty bucket has a schema', async () => {
    const answer = await gql(getIntrospectionQuery());
    assert.deepEqual(validateSchema(buildClientSchema(answer.json.data)), []);
  });
  for (const record of records) assert.equal((await post(`/bucket/${bucket}/record`, record)).status, 201);
  const introspected = await gql(getIntrospectionQuery({ specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true }));
  assert.ok(introspected.json.data, introspected.text.slice(0, 400));
  const schema = buildClientSchema(introspected.json.data);
  await check('graphql-js finds nothing wrong with the schema', () => assert.deepEqual(validateSchema(schema), []));
  await check('its introspection of that schema is ours', async () => {
    const again = execute({ schema, document: parse(getIntrospectionQuery()) });
    assert.equal(printSchema(lexicographicSortSchema(buildClientSchema(again.data))), printSchema(lexicographicSortSchema(schema)));
  });
  await check('a mutation of two records is one transaction', async () => {
    assert.deepEqual(validate(schema, parse(fill)), []);
    const answer = await gql(fill, { rows });
    assert.deepEqual([answer.json.data?.driversInsert, answer.json.data?.ordersInsert.count], [{ count: 3 }, 4], answer.text);
  });
  for (const [what, query, variables, expected] of queries)
    await check(what, async () => {
      assert.deepEqual(validate(schema, parse(query)), []);
      const answer = await gql(query, variables);
      assert.equal(answer.status, 200);
      assert.deepEqual(answer.json, { data: expected });
    });
  await check('64 bits come out as they are', async () => assert.match((await gql('{ ordersById(id: 1) { n } }')).text, /"n":9007199254740993\b/));
  for (const query of refused)
    await check(`refused: ${query}`, async () => {
      let theirs;
      try { theirs = validate(schema, parse(query)).length; } catch { theirs = 1; }
      assert.ok(theirs, 'graphql-js takes it');
      const answer = await gql(query);
      assert.equal(answer.status, 200);
      assert.ok(answer.json.errors?.[0].extensions.code && !('data' in answer.json), answer.text);
      assert.ok(answer.json.errors[0].locations?.[0].line >= 1, answer.text);
    });
  await check('places of errors', async () => {
    const answer = await gql('{\n  orders {\n    nope\n  }\n}');
    assert.deepEqual([answer.json.errors[0].locations, answer.json.errors[0].extensions.code], [[{ line: 3, column: 5 }], 'UNKNOWN_ATTRIBUTE']);
  });
  await check('graphql-response+json has statuses', async () => {
    const accept = { Accept: 'application/graphql-response+json' };
    const good = await gql('{ recordNames }', undefined, accept), bad = await gql('{ nope }', undefined, accept);
    assert.deepEqual([good.status, good.type, bad.status, bad.type], [200, 'application/graphql-response+json', 400, 'application/graphql-response+json']);
  });
  await check('operationName', async () => {
    const two = 'query a { recordNames } query b { __typename }';
    assert.deepEqual((await gql(two, undefined, {}, 'b')).json, { data: { __typename: 'Query' } });
    assert.ok((await gql(two)).json.errors);
    assert.ok((await gql(two, undefined, {}, 'c')).json.errors);
  });
  await check('variables of a wrong type', async () => {
    for (const x of ['1', 1.5, true, [1], {}, 2147483648]) assert.ok((await gql('query ($x: Int) { orders(limit: $x) { id } }', { x })).json.errors, String(x));
    assert.ok((await gql('query ($x: ID!) { ordersById(id: $x) { id } }')).json.errors);
    assert.ok((await gql('query ($x: ordersWhere) { orders(where: $x) { id } }', { x: { nope: 1 } })).json.errors);
  });
  await check('a mutation that fails changes nothing, and says where', async () => {
    const answer = await gql('mutation {\n one: driversInsert(rows: [{id: "new"}]) { count }\n two: driversInsert(rows: [{id: "d1"}]) { count }\n}');
    assert.deepEqual([answer.json.data, answer.json.errors[0].extensions.code, answer.json.errors[0].path], [null, 'DUPLICATE_ID', ['two']]);
    assert.deepEqual(answer.json.errors[0].locations, [{ line: 3, column: 2 }]);
    assert.deepEqual((await gql('{ driversById(id: "new") { id } }')).json.data, { driversById: null });
  });
  await check('set, add, remove', async () => {
    const query = `mutation ($c: JSON) { ordersUpdate(where: {id: {eq: 1}}, set: {note: null, customer: $c, heat: 9}, add: {total: 0.5, n: -1}, remove: {stops: ["d1"]}) { count } }`;
    assert.deepEqual(validate(schema, parse(query)), []);
    assert.deepEqual((await gql(query, { c: [1] })).json, { data: { ordersUpdate: { count: 1 } } });
    assert.deepEqual((await gql('mutation { ordersUpdate(where: {id: {eq: 1}}, add: {customer: [2, "x"], stops: ["d2"]}) { count } }')).json.data.ordersUpdate.count, 1);
    assert.deepEqual((await gql('{ ordersById(id: 1) { note customer heat total stopsIds } }')).json,
      { data: { ordersById: { note: null, customer: [1, 2, 'x'], heat: 9, total: 11, stopsIds: ['d3', 'd2'] } } });
    assert.ok((await gql('mutation { ordersUpdate(where: {}) { count } }')).json.errors);
  });
  await check('the same Idempotency-Key is the same mutation', async () => {
    const key = { 'Idempotency-Key': 'once' }, query = 'mutation { driversUpdate(where: {id: {eq: "d1"}}, add: {trips: 1}) { count txid } }';
    const first = await gql(query, undefined, key);
    assert.deepEqual((await gql(query, undefined, key)).json, first.json);
    assert.deepEqual((await gql('{ driversById(id: "d1") { trips } }')).json.data, { driversById: { trips: 4 } });
  });
  await check('delete', async () => {
    assert.deepEqual((await gql('mutation { a: ordersDelete(where: {id: {in: [2, 3]}}) { count } b: driversDelete(where: {name: {eq: "no"}}) { count } }')).json,
      { data: { a: { count: 2 }, b: { count: 0 } } });
    assert.deepEqual((await gql('{ orders { id } }')).json.data, ids(1, 4));
  });
  await check('bounds', async () => {
    const chain = (n) => '{ drivers { ' + 'boss { '.repeat(n) + 'id' + ' }'.repeat(n + 2);
    assert.ok((await gql(chain(5))).json.data);
    const code = async (query) => (await gql(query)).json.errors?.[0].extensions.code;
    assert.equal(await code(chain(6)), 'QQL_LIMIT');
    assert.equal(await code('{ drivers '.repeat(40)), 'QQL_LIMIT');
    assert.equal(await code(`{ orders(where: {note: {in: ${'['.repeat(5000)}`), 'QQL_LIMIT');
    assert.equal(await code('{ orders(limit: 1001) { id } }'), 'QQL_LIMIT');
    assert.equal(await code(`{ ${Array.from({ length: 5001 }, (_, i) => `a${i}: __typename`).join(' ')} }`), 'QQL_LIMIT');
    const bomb = Array.from({ length: 20 }, (_, i) => `fragment f${i} on drivers { a: boss { ...f${i + 1} } b: boss { ...f${i + 1} } }`).join(' ');
    assert.equal(await code(`{ drivers { ...f0 } } ${bomb} fragment f20 on drivers { id }`), 'QQL_LIMIT');
  });
  await check('there are no subscriptions', async () => assert.equal((await gql('subscription { orders { id } }')).json.errors[0].extensions.code, 'QQL_UNSUPPORTED'));
  await check('a body that is none', async () => {
    for (const body of [{}, { query: 1 }, { query: '{ recordNames }', variables: [] }, [], { query: '{ recordNames }', operationName: 1 }])
      assert.equal((await post(`/bucket/${bucket}/graphql`, body)).status, 400);
    assert.equal((await post('/bucket/nobody/graphql', { query: '{ recordNames }' })).status, 404);
  });
  await check('the schema is the live one', async () => {
    assert.equal((await qql('ALTER RECORD drivers ADD age scalar int')).status, 200);
    assert.deepEqual((await gql('{ driversById(id: "d1") { age } }')).json.data, { driversById: { age: null } });
  });
  console.log(`${passed} passed, ${process.exitCode ? 'some' : 0} failed (${queries.length} queries, ${refused.length} refusals)`);
  agent.destroy();
}

main().catch((e) => { console.error(e); process.exit(1); });
