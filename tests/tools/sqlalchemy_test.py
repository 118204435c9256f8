"""SQLAlchemy 2: create_all, reflection, the ORM with RETURNING, upserts, streaming, isolation levels."""

import datetime
import decimal
import os
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import (
    DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship, selectinload,
)

engine = sa.create_engine(os.environ["STELE_URL"].replace("postgresql:", "postgresql+psycopg:"))


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True, comment="as printed")
    born: Mapped[datetime.date | None]
    rating: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(8, 2), server_default=sa.text("0"))
    active: Mapped[bool] = mapped_column(server_default=sa.true())
    made: Mapped[datetime.datetime] = mapped_column(
        sa.DateTime(timezone=True), server_default=sa.func.now())
    tag: Mapped[uuid.UUID | None]
    books: Mapped[list["Book"]] = relationship(
        back_populates="author", cascade="all, delete-orphan", order_by="Book.id")
    __table_args__ = (sa.CheckConstraint("rating >= 0", name="rating_ok"), {"comment": "who wrote"})


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(sa.Identity(start=100), primary_key=True)
    title: Mapped[str] = mapped_column(sa.Text)
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("author.id", ondelete="CASCADE"))
    price: Mapped[float | None]
    info: Mapped[dict | None] = mapped_column(pg.JSONB)
    words: Mapped[list[str] | None] = mapped_column(pg.ARRAY(sa.Text))
    raw: Mapped[bytes | None]
    author: Mapped[Author] = relationship(back_populates="books")
    __table_args__ = (
        sa.Index("book_title", "title"),
        sa.UniqueConstraint("author_id", "title", name="one_title"),
    )


def definitions():
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.text(
            "CREATE VIEW titles AS SELECT a.name, b.title FROM author a JOIN book b ON b.author_id = a.id"))
        connection.execute(sa.text("COMMENT ON VIEW titles IS 'who wrote what'"))


def reflection():
    inspector = sa.inspect(engine)
    assert sorted(inspector.get_table_names()) == ["author", "book"]
    assert inspector.get_view_names() == ["titles"]
    assert "author.author_id" not in inspector.get_view_definition("titles")
    key = inspector.get_pk_constraint("book")
    assert key["constrained_columns"] == ["id"] and key["name"] == "book_pkey", key
    (foreign,) = inspector.get_foreign_keys("book")
    assert foreign["referred_table"] == "author" and foreign["options"] == {"ondelete": "CASCADE"}, foreign
    assert inspector.get_unique_constraints("author")[0]["column_names"] == ["name"]
    (check,) = inspector.get_check_constraints("author")
    assert check["name"] == "rating_ok" and "rating >=" in check["sqltext"], check
    indexes = {index["name"]: index for index in inspector.get_indexes("book")}
    assert indexes["book_title"]["column_names"] == ["title"] and not indexes["book_title"]["unique"]
    assert indexes["one_title"]["unique"]
    assert inspector.get_table_comment("author")["text"] == "who wrote"
    columns = {c["name"]: c for t in ("author", "book") for c in reversed(inspector.get_columns(t))}
    assert columns["name"]["comment"] == "as printed" and columns["name"]["type"].length == 50
    assert columns["rating"]["type"].precision == 8 and columns["rating"]["type"].scale == 2
    assert columns["made"]["default"] == "now()" and columns["made"]["type"].timezone
    assert isinstance(columns["info"]["type"], pg.JSONB) and isinstance(columns["words"]["type"], sa.ARRAY)
    identity = inspector.get_columns("book")[0]["identity"]
    assert identity["start"] == 100 and not identity["always"], identity
    metadata = sa.MetaData()
    metadata.reflect(engine, views=True)
    assert sorted(metadata.tables) == ["author", "book", "titles"]
    assert inspector.has_table("author") and not inspector.has_table("nothing")
    assert "public" in inspector.get_schema_names()


def objects():
    with Session(engine) as session:
        ann = Author(
            name="Ann", born=datetime.date(1970, 1, 2), tag=uuid.uuid4(),
            books=[Book(title="A1", price=1.5, info={"a": [1, 2]}, words=["x", "y,z"], raw=b"\0\xff"),
                   Book(title="A2")])
        session.add(ann)
        session.add_all([Author(name=f"n{i}") for i in range(5)])
        session.commit()
        assert ann.books[0].id >= 100 and ann.rating == 0 and ann.active and ann.made.tzinfo
        ann.rating = decimal.Decimal("3.25")
        session.commit()
        book = session.scalars(sa.select(Book).where(Book.title == "A1")).one()
        assert (book.info, book.words, book.raw, book.price) == ({"a": [1, 2]}, ["x", "y,z"], b"\0\xff", 1.5)
        counted = session.execute(
            sa.select(Author.name, sa.func.count(Book.id)).outerjoin(Book)
            .group_by(Author.name).order_by(Author.name)).all()
        assert counted[0] == ("Ann", 2), counted
        loaded = session.scalars(
            sa.select(Author).options(selectinload(Author.books)).where(Author.name == "Ann")).one()
        assert loaded.books[1].title == "A2"
        assert len(session.scalars(sa.select(Author).options(joinedload(Author.books))).unique().all()) == 6
        raised = session.execute(
            sa.update(Author).where(Author.name.like("n%")).values(rating=Author.rating + 1)
            .returning(Author.name, Author.rating)).all()
        assert len(raised) == 5
        made = session.execute(sa.insert(Author).returning(Author.id), [{"name": "m1"}, {"name": "m2"}]).all()
        assert len(made) == 2
        upsert = pg.insert(Author).values(name="m1", rating=9).on_conflict_do_update(
            index_elements=["name"], set_={"rating": 7}).returning(Author.rating)
        assert session.execute(upsert).scalar() == 7
        session.execute(sa.delete(Author).where(Author.name == "m2"))
        session.delete(ann)
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 0
        with session.begin_nested():
            session.add(Author(name="nested"))
        try:
            with session.begin_nested():
                session.add(Author(name="nested"))
                session.flush()
            raise AssertionError("the same name twice")
        except sa.exc.IntegrityError as error:
            assert error.orig.sqlstate == "23505"
        session.commit()
        query = sa.select(Author).where(Author.name == "nested").with_for_update(skip_locked=True)
        assert len(session.scalars(query).all()) == 1


def many():
    with Session(engine) as session:
        session.execute(sa.insert(Author), [{"name": f"c{i}"} for i in range(2500)])
        session.commit()
    with engine.connect().execution_options(stream_results=True, yield_per=100) as connection:
        assert sum(1 for _ in connection.execute(sa.select(Author.id))) == 2507
    with engine.begin() as connection:
        gone = sa.delete(Author.__table__).where(Author.name.like("c1%")).returning(Author.id).cte("gone")
        assert connection.execute(sa.select(sa.func.count()).select_from(gone)).scalar() == 1111


def sessions():
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TEMPORARY TABLE scratch (id int) ON COMMIT DROP"))
        connection.execute(sa.text("INSERT INTO scratch VALUES (1)"))
        assert connection.execute(sa.text("SELECT * FROM scratch")).all() == [(1,)]
        assert sa.inspect(connection).get_temp_table_names() == ["scratch"]
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(1)"))
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        assert connection.execute(sa.text("SHOW transaction_isolation")).scalar() == "serializable"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SELECT 1"))


for test in (definitions, reflection, objects, many, sessions):
    test()
with engine.begin() as connection:
    connection.execute(sa.text("DROP VIEW titles"))
Base.metadata.drop_all(engine)
assert sa.inspect(engine).get_table_names() == []
