"""SQLAlchemy's asyncio engine, which runs its synchronous half in greenlets of the greenlet package.

python use_sqlalchemy_async.py URL
"""

import asyncio
import sys

import greenlet
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Number(Base):
    __tablename__ = "numbers"
    id: Mapped[int] = mapped_column(primary_key=True)
    square: Mapped[int]


async def main() -> None:
    engine = create_async_engine(sys.argv[1])
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add_all([Number(id=number, square=number**2) for number in range(100)])
        await session.commit()

    async def one(number: int) -> int:
        async with AsyncSession(engine) as session:
            found = await session.get(Number, number)
            return found.square

    print(sum(await asyncio.gather(*map(one, range(100)))) == sum(n**2 for n in range(100)))
    async with engine.connect() as connection:
        try:
            await connection.execute(text("select nonsense"))
        except Exception as error:
            print(type(error).__name__)
    async with AsyncSession(engine, expire_on_commit=True) as session:
        number = await session.get(Number, 3)
        await session.commit()
        try:
            print(number.square)
        except SQLAlchemyError as error:
            # What says so itself, or why a statement failed: drivers differ.
            print(type(getattr(error, "orig", None) or error).__name__)
    await engine.dispose()


asyncio.run(main())
print("corolib" in greenlet.__file__)
