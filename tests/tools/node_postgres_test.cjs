// node-postgres: a pool, parameters, named statements, types, errors, a stream by cursor, transactions.
const assert = require('node:assert')
const { Pool, Client } = require('pg')
const QueryStream = require('pg-query-stream')

const connectionString = process.env.STELE_URL

async function values(pool) {
  const { rows } = await pool.query(
    `SELECT $1::int AS i, $2::text AS t, $3::bool AS b, $4::float8 AS f, $5::jsonb AS j, $6::bytea AS y,
            $7::timestamptz AS z, $8::int[] AS l, $9::numeric AS n, NULL::text AS nothing, $10::date AS d`,
    [42, "o'clock", true, 1.5, { a: [1, null] }, Buffer.from([0, 255]), new Date(1e12), [1, null, 3], '12.34', '2024-02-29'])
  const row = rows[0]
  assert.equal(row.i, 42)
  assert.equal(row.t, "o'clock")
  assert.equal(row.b, true)
  assert.equal(row.f, 1.5)
  assert.deepEqual(row.j, { a: [1, null] })
  assert.deepEqual(row.y, Buffer.from([0, 255]))
  assert.equal(row.z.getTime(), 1e12)
  assert.deepEqual(row.l, [1, null, 3])
  assert.equal(row.n, '12.34')
  assert.equal(row.nothing, null)
}

async function tables(pool) {
  await pool.query('CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE NOT NULL, price numeric(8,2))')
  const made = await pool.query('INSERT INTO item (name, price) VALUES ($1, $2), ($3, $4) RETURNING id, name', ['a', 1, 'b', 2.5])
  assert.equal(made.rowCount, 2)
  assert.deepEqual(made.fields.map((field) => field.name), ['id', 'name'])
  for (let time = 0; time < 3; time++) {
    const found = await pool.query({ name: 'by-name', text: 'SELECT price FROM item WHERE name = $1', values: ['b'] })
    assert.equal(found.rows[0].price, '2.50')
  }
  await assert.rejects(pool.query('INSERT INTO item (name) VALUES ($1)', ['a']), (error) => {
    assert.equal(error.code, '23505')
    assert.equal(error.constraint, 'item_name_key')
    assert.equal(error.table, 'item')
    return true
  })
  await assert.rejects(pool.query('SELECT nothing FROM item'), { code: '42703', position: '8' })
  const several = await pool.query("SELECT 1 AS one; UPDATE item SET price = 3 WHERE name = 'a'; SELECT 2 AS two")
  assert.deepEqual(several.map((result) => result.command), ['SELECT', 'UPDATE', 'SELECT'])
  const array = await pool.query({ text: 'SELECT id, name FROM item ORDER BY id', rowMode: 'array' })
  assert.equal(array.rows[1][1], 'b')
}

async function transactions(pool) {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await client.query("INSERT INTO item (name) VALUES ('c')")
    await client.query('SAVEPOINT s')
    await assert.rejects(client.query("INSERT INTO item (name) VALUES ('c')"), { code: '23505' })
    await client.query('ROLLBACK TO s')
    await client.query('COMMIT')
    const { rows } = await client.query('SELECT count(*)::int AS n FROM item')
    assert.equal(rows[0].n, 3)
    await client.query('CREATE TEMP TABLE scratch AS SELECT generate_series(1, 3) AS n')
    assert.equal((await client.query('SELECT sum(n)::int AS n FROM scratch')).rows[0].n, 6)
  } finally {
    client.release()
  }
}

async function streams(pool) {
  const client = await pool.connect()
  let sum = 0
  for await (const row of client.query(new QueryStream('SELECT g FROM generate_series(1, $1::int) g', [2000], { batchSize: 77 }))) {
    sum += row.g
  }
  client.release()
  assert.equal(sum, 2001000)
}

async function stopped() {
  const client = new Client({ connectionString, ssl: { rejectUnauthorized: false } })
  await client.connect()
  client.on('error', () => {})
  await client.query("SET statement_timeout = '50ms'")
  await assert.rejects(client.query('SELECT pg_sleep(30)'), { code: '57014' })
  await client.end()
}

async function main() {
  for (const ssl of [false, { rejectUnauthorized: false }]) {
    const pool = new Pool({ connectionString, ssl, max: 4 })
    await values(pool)
    if (ssl) {
      await tables(pool)
      await transactions(pool)
      await streams(pool)
    }
    const all = Array.from({ length: 20 }, (_, i) => pool.query('SELECT $1::int * 2 AS n', [i]))
    const answers = await Promise.all(all)
    assert.deepEqual(answers.map((answer) => answer.rows[0].n), Array.from({ length: 20 }, (_, i) => i * 2))
    await pool.end()
  }
  await stopped()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
