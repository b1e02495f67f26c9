"""An application on SQLAlchemy 2, with its default settings. Takes DATABASE_URL and a driver: psycopg, psycopg_async or
asyncpg; prints what it sees."""

import asyncio
import os
import sys
import threading

from sqlalchemy import (BigInteger, Column, DateTime, ForeignKey, Index, MetaData, String, Table, create_engine, event, exc,
                        func, inspect, make_url, select, text, update)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

DRIVER = sys.argv[1]
URL = make_url(os.environ["DATABASE_URL"]).set(drivername=f"postgresql+{DRIVER}")


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    version: Mapped[int] = mapped_column()
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")
    __mapper_args__ = {"version_id_col": version}


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(ARRAY(String), default=list)
    details: Mapped[dict] = mapped_column(JSONB, default=dict)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")
    __table_args__ = (Index("book_tags", "tags", postgresql_using="gin"),)


def say(*words):
    print(*words, flush=True)


def words_of(error):
    return f"{type(error).__name__} {getattr(error.orig, 'sqlstate', None)}"


def schema(session):
    connection = session.connection()
    Base.metadata.drop_all(connection)
    Base.metadata.create_all(connection)
    session.commit()
    reflected = Table("book", MetaData(), autoload_with=session.connection())
    say([(column.name, str(column.type)) for column in reflected.columns])
    say(inspect(session.connection()).get_indexes("book"))


def units_of_work(session):
    for n in range(30):
        session.add(Author(name=f"author {n}", books=[Book(title=f"book {n}.{m}", tags=[f"{m}"], details={"m": m}) for m in range(3)]))
    session.commit()
    authors = session.scalars(select(Author).options(selectinload(Author.books)).order_by(Author.id).limit(3)).all()
    say([(author.name, [book.title for book in author.books]) for author in authors])
    authors[0].books.pop()
    authors[1].name = "renamed"
    session.commit()
    say(session.scalar(select(func.count()).select_from(Book)), session.get(Author, authors[1].id).version)
    say(session.scalars(select(Book.title).where(Book.tags.contains(["2"]), Book.details["m"].as_integer() == 2).order_by(Book.id)).all()[:4])


def bulk_inserts(session):
    rows = [{"name": f"bulk {n}", "version": 1} for n in range(2500)]
    ids = session.scalars(insert(Author).returning(Author.id, sort_by_parameter_order=True), rows).all()
    say(len(ids), ids == sorted(ids))
    upsert = insert(Author).values(name="bulk 7", version=1)
    upsert = upsert.on_conflict_do_update(index_elements=["name"], set_={"version": 9}).returning(Author.version)
    say(session.scalar(upsert))
    session.commit()


def errors_and_savepoints(session):
    session.add(Author(name="kept"))
    try:
        with session.begin_nested():
            session.add(Author(name="bulk 1"))
            session.flush()
    except exc.IntegrityError as error:
        say(words_of(error))
    session.commit()
    say(session.scalars(select(Author.name).where(Author.name == "kept")).all())
    try:
        session.execute(text("select 1 / 0"))
    except exc.DBAPIError as error:
        say(words_of(error))
    session.rollback()
    say(session.scalar(text("select 'on'")))


def streams(session):
    result = session.execute(select(Author.id).order_by(Author.id).execution_options(yield_per=100))
    say(sum(1 for part in result.partitions() for _ in part))
    session.commit()


def row_locks(session):
    author = session.scalars(select(Author).where(Author.name == "kept").with_for_update()).one()
    say(author.name)
    session.execute(update(Author).where(Author.name == "kept").values(version=5))
    session.commit()
    say(session.scalars(select(Author.name).where(Author.name == "kept").with_for_update(skip_locked=True)).all())
    session.commit()


def settings(session):
    session.execute(text("set time zone 'America/Sao_Paulo'"))
    session.execute(text("select set_config('app.tenant', 'blue', false)"))
    session.commit()
    say(session.scalar(text("show timezone")), session.scalar(text("select current_setting('app.tenant')")))
    session.execute(text("set local work_mem = '5MB'"))
    say(session.scalar(text("show work_mem")))
    session.commit()
    say(session.scalar(text("show work_mem")))
    session.execute(text("reset timezone"))
    session.commit()


def isolation_levels(session):
    session.connection(execution_options={"isolation_level": "SERIALIZABLE", "postgresql_readonly": True})
    say(session.scalar(text("show transaction_isolation")), session.scalar(text("show transaction_read_only")))
    session.commit()
    say(session.scalar(text("show transaction_isolation")), session.scalar(text("show transaction_read_only")))
    session.commit()
    session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
    session.execute(text("vacuum author"))
    session.commit()


def temporary_tables(session):
    basket = Table("basket", MetaData(), Column("n", BigInteger), Column("at", DateTime(timezone=True)), prefixes=["TEMPORARY"])
    connection = session.connection()
    basket.create(connection)
    session.commit()
    session.execute(basket.insert(), [{"n": n} for n in range(10)])
    session.commit()
    say(session.scalar(select(func.sum(basket.c.n))))
    session.commit()
    basket.drop(session.connection())
    session.commit()


def advisory_locks(session):
    say(session.scalar(select(func.pg_try_advisory_lock(11))))
    session.commit()
    say(session.scalar(select(func.pg_advisory_unlock(11))))
    session.commit()


STORY = [schema, units_of_work, bulk_inserts, errors_and_savepoints, streams, row_locks, settings, isolation_levels,
         temporary_tables, advisory_locks]


def count(session):
    for _ in range(5):
        author = session.scalars(select(Author).where(Author.name == "kept").with_for_update()).one()
        author.version += 0
        session.execute(text("update book set details = jsonb_set(details, '{n}', to_jsonb(coalesce((details->>'n')::int, 0) + 1)) "
                             "where title = 'book 3.0'"))
        session.commit()


COUNTED = select(Book.details).where(Book.title == "book 3.0")


def with_threads():
    engine = create_engine(URL)

    @event.listens_for(engine, "connect")
    def when_connected(connection, _):
        connection.execute("set app.engine = 'this'")
        connection.commit()

    with Session(engine) as session:
        for chapter in STORY:
            say(f"== {chapter.__name__}")
            chapter(session)
        say(session.scalar(text("select current_setting('app.engine')")))

    def work():
        with Session(engine) as session:
            count(session)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Session(engine) as session:
        say(session.scalar(COUNTED))
    engine.dispose()


async def with_tasks():
    engine = create_async_engine(URL)
    async with AsyncSession(engine) as session:
        for chapter in STORY:
            say(f"== {chapter.__name__}")
            await session.run_sync(chapter)

    async def work():
        async with AsyncSession(engine) as session:
            await session.run_sync(count)

    await asyncio.gather(*(work() for _ in range(12)))
    async with AsyncSession(engine) as session:
        say(await session.scalar(COUNTED))
        stream = await session.stream(select(Author.id).order_by(Author.id))
        say(sum([1 async for _ in stream]))
    await engine.dispose()


with_threads() if DRIVER == "psycopg" else asyncio.run(with_tasks())
