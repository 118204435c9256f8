"""pandas: to_sql, read_sql, read_sql_table, in pieces and appended."""

import os

import pandas as pd
import sqlalchemy as sa

engine = sa.create_engine(os.environ["STELE_URL"].replace("postgresql:", "postgresql+psycopg:"))
frame = pd.DataFrame({
    "id": range(2000),
    "name": [f"x{i}" for i in range(2000)],
    "v": [i / 3 for i in range(2000)],
    "d": pd.date_range("2020-01-01", periods=2000),
    "b": [i % 2 == 0 for i in range(2000)],
})
frame.to_sql("frame", engine, if_exists="replace", index=False)
frame.head(10).to_sql("frame", engine, if_exists="append", index=False, method="multi")
assert len(pd.read_sql("SELECT * FROM frame WHERE id < 5 ORDER BY id", engine)) == 10
table = pd.read_sql_table("frame", engine)
assert len(table) == 2010
kinds = table.dtypes.astype(str).to_dict()
assert kinds["id"] == "int64" and kinds["v"] == "float64" and kinds["b"] == "bool", kinds
assert kinds["d"].startswith("datetime64"), kinds
assert (table["v"].head(2000) == frame["v"]).all()
assert len(list(pd.read_sql("SELECT * FROM frame", engine, chunksize=500))) == 5
frame.set_index("id").to_sql("indexed", engine, if_exists="replace")
frame.set_index("id").to_sql("indexed", engine, if_exists="replace")
assert sa.inspect(engine).get_indexes("indexed")[0]["column_names"] == ["id"]
answer = pd.read_sql(
    sa.text("SELECT b, count(*) AS n, sum(v) AS total FROM frame WHERE id < :most GROUP BY b ORDER BY b"),
    engine, params={"most": 100}, index_col="b")
assert list(answer["n"]) == [55, 55], answer
