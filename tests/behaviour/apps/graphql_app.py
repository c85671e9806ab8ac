# SPDX-License-Identifier: MIT OR Apache-2.0
"""Strawberry: a query, and subscriptions over graphql-transport-ws."""

import asyncio
from collections.abc import AsyncGenerator

import strawberry
from strawberry.asgi import GraphQL

ENDED = []


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def ended(self) -> int:
        return len(ENDED)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(to):
            yield number
            await asyncio.sleep(0)

    @strawberry.subscription
    async def endless(self) -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.01)
        finally:
            ENDED.append(1)


app = GraphQL(strawberry.Schema(Query, subscription=Subscription))
