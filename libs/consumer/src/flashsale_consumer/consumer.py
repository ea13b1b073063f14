"""The consuming loop: a session with the broker, batch after batch, and a new session after each failure."""

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from flashsale_consumer import metrics, suspicious
from flashsale_consumer.deliveries import Delivery, Handle, Poison, Publication
from flashsale_core import crash, topology
from flashsale_core.backoff import reconnect_backoff
from flashsale_core.broker import broker_session
from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.tasks import only_own_cancellation, within
from flashsale_core.tracing import log_fields

NOTES_DIR = Path(tempfile.gettempdir())
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    amqp_url: str
    queue: str
    batch_messages: int
    """Most messages in one batch. Twice this number is prefetched, so that the next batch gathers while this one is processed."""
    batch_bytes_max: int
    """A batch whose bodies reach this many bytes takes no further message."""
    gather_ms: int
    """How long a batch waits for more messages after its first."""
    amqp_timeout_seconds: float
    """How long opening or closing a session, parking and acknowledging may take."""
    notes_dir: Path = NOTES_DIR
    """Where notes about suspicious messages are kept: a folder that survives the process."""


class _SessionLostError(Exception):
    pass


class Consumer:
    """Consumes one queue until `stop`. `handle` gets the batches."""

    def __init__(self, settings: ConsumerSettings, handle: Handle) -> None:
        self._settings = settings
        self._handle = handle
        self._incoming: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._stopping = False
        self._up = metrics.CONSUMER_UP.labels(settings.queue)
        self._crash_notes = suspicious.CrashNotes(settings.notes_dir / f"flashsale-{settings.queue}.trials")
        self.fault: str | None = "not connected to RabbitMQ yet"
        """Why nothing is consumed now, as a text for people; None while messages are consumed."""

    async def run(self) -> None:
        """Consume until `stop`. A failure of broker or channel starts a new session after a pause that grows."""
        backoff = reconnect_backoff()
        while not self._stopping:
            started = perf_counter()
            try:
                with only_own_cancellation():
                    async with _channel(self._settings) as consuming, _channel(self._settings) as publishing:
                        await self._session(consuming, publishing)
            except Exception as error:
                # Broad on purpose: the broker delivers again what the lost session did not acknowledge.
                self.fault = describe_error(Server.RABBITMQ, error)
                log.warning("consumer.interrupted", extra={"queue": self._settings.queue, "reason": self.fault})
                # The pause grows even if each session begins well: each receives its batch again, and parks again what it parked.
                await asyncio.sleep(backoff.pause_seconds(perf_counter() - started))

    def stop(self) -> None:
        """Take no further batch; the current one is finished and acknowledged."""
        self._stopping = True
        self._incoming.put_nowait(None)
        # The process may be killed next, and the current message would not be the reason.
        self._crash_notes.end()

    async def _session(self, consuming: AbstractChannel, publishing: AbstractChannel) -> None:
        self._incoming = asyncio.Queue()
        settings = self._settings
        async with within(settings.amqp_timeout_seconds, "starting to consume"):
            await consuming.set_qos(prefetch_count=2 * settings.batch_messages)
            queue = await consuming.declare_queue(settings.queue, passive=True)
            parking = await publishing.get_exchange(topology.PARKING_EXCHANGE, ensure=True)
            consuming.close_callbacks.add(self._wake)
            # A deleted queue cancels its consumer and leaves the channel open; aio_pika's own channel does not report that.
            (await consuming.get_underlay_channel()).on_consumer_cancel_callbacks.add(self._wake)
            tag = await queue.consume(self._incoming.put)
        self.fault = None
        self._up.set(1)
        log.info("consumer.started", extra={"queue": settings.queue})
        try:
            await self._consume(consuming, publishing, parking)
        finally:
            self._up.set(0)
        await queue.cancel(tag, timeout=settings.amqp_timeout_seconds)

    async def _consume(self, consuming: AbstractChannel, publishing: AbstractChannel, parking: AbstractExchange) -> None:
        acknowledged = 0
        while not self._stopping:
            batch = await self._gather()
            if batch:
                _refuse_gap(acknowledged, [message.delivery_tag for message in batch])
                for part in suspicious.split_suspicious([(message, suspicious.is_suspicious(message.headers)) for message in batch]):
                    await self._process(part, consuming, publishing, parking)
                acknowledged += len(batch)

    def _wake(self, *_: object) -> None:
        self._incoming.put_nowait(None)

    async def _gather(self) -> list[AbstractIncomingMessage]:
        """The next batch: full, or what arrived within gather_ms of its first message. Empty when it is time to stop."""
        first = await self._incoming.get()
        if first is None:
            if self._stopping:
                return []
            raise _SessionLostError("the broker closed the channel or cancelled the consumer")
        batch, size = [first], len(first.body)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.gather_ms / 1000):
                while len(batch) < self._settings.batch_messages and size < self._settings.batch_bytes_max:
                    message = await self._incoming.get()
                    if message is None:
                        # Repeated for the next call, after this batch.
                        self._incoming.put_nowait(None)
                        break
                    batch.append(message)
                    size += len(message.body)
        return batch

    async def _process(
        self, batch: Sequence[AbstractIncomingMessage], consuming: AbstractChannel, publishing: AbstractChannel, parking: AbstractExchange
    ) -> None:
        started, name = perf_counter(), self._settings.queue
        metrics.CONSUMED.labels(name).inc(len(batch))
        metrics.REDELIVERED.labels(name).inc(sum(bool(message.redelivered) for message in batch))
        crash.point("batch.received")
        results = await self._handle_until_durable([_delivery(message) for message in batch], consuming)
        crash.point("batch.handled")
        # Before anything is parked: if the broker refuses a publication, the batch is delivered again and would be parked twice.
        for publication in [result for result in results if isinstance(result, Publication)]:
            await self._publish(publishing, publication)
        for poison in [result for result in results if isinstance(result, Poison)]:
            await self._park(parking, batch[poison.index], poison)
        # Last, and for the whole batch at once. A crash before this line redelivers, and the work is idempotent.
        async with asyncio.timeout(self._settings.amqp_timeout_seconds):
            await batch[-1].ack(multiple=True)
        crash.point("batch.acknowledged")
        metrics.BATCHES.labels(name).inc()
        metrics.BATCH_MESSAGES.labels(name).observe(len(batch))
        metrics.BATCH_SECONDS.labels(name).observe(perf_counter() - started)

    async def _handle_until_durable(self, deliveries: Sequence[Delivery], channel: AbstractChannel) -> Sequence[Poison | Publication]:
        while True:
            try:
                results = await self._handle_or_judge(deliveries)
            except Retryable as error:
                self.fault = str(error)
                metrics.RETRIES.labels(self._settings.queue).inc()
                log.warning("batch.retried", extra={"queue": self._settings.queue, "reason": str(error)})
                await asyncio.sleep(error.delay_seconds)
                if channel.is_closed or self._stopping:
                    raise _SessionLostError("the batch is returned to the broker") from error
            else:
                self.fault = None
                return results

    async def _handle_or_judge(self, deliveries: Sequence[Delivery]) -> Sequence[Poison | Publication]:
        """Raises Retryable, and for a batch that is not suspicious whatever else the handler raises."""
        first = deliveries[0]
        if not suspicious.is_suspicious(first.headers):
            return await self._handle(deliveries)
        if (crashes := self._crash_notes.crashes(first)) >= suspicious.CRASHES_MAX:
            self._crash_notes.forget(first)
            return [Poison(0, "crashed", f"the worker ended {crashes} times while it handled this message alone")]
        self._crash_notes.begin(first)
        try:
            results = await self._handle(deliveries)
        except Retryable:
            raise
        except Exception as error:
            # The message is alone and no store is away: it is the cause of the failure.
            results = [Poison(0, "failed", f"{type(error).__name__}: {error}")]
        finally:
            self._crash_notes.end()
        self._crash_notes.forget(first)
        return results

    async def _publish(self, channel: AbstractChannel, publication: Publication) -> None:
        """Raises an error that ends the session if the broker does not confirm: the batch is then delivered again."""
        message = aio_pika.Message(
            publication.body,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            expiration=timedelta(seconds=publication.life_seconds),
        )
        exchange = await channel.get_exchange(publication.exchange, ensure=False)
        await exchange.publish(message, publication.routing_key, mandatory=True, timeout=self._settings.amqp_timeout_seconds)
        crash.point("publication.confirmed")

    async def _park(self, parking: AbstractExchange, message: AbstractIncomingMessage, poison: Poison) -> None:
        """Put a message aside, confirmed by the broker, before it is acknowledged."""
        log.error("message.parked", extra={"queue": self._settings.queue, "message_id": message.message_id, "reason": poison.reason,
                                           "error": poison.error, **log_fields(message.headers.get("traceparent"))})  # fmt: skip
        parked = aio_pika.Message(
            message.body,
            message_id=message.message_id,
            content_type=message.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            timestamp=datetime.now(UTC),
            headers={**message.headers, "x-reason": poison.reason, "x-error": poison.error[:500], "x-queue": self._settings.queue},
        )
        await parking.publish(parked, self._settings.queue, mandatory=True, timeout=self._settings.amqp_timeout_seconds)
        crash.point("message.parked")
        metrics.PARKED.labels(self._settings.queue, poison.reason).inc()


def _delivery(message: AbstractIncomingMessage) -> Delivery:
    return Delivery(
        message.body,
        message.message_id or "",
        bool(message.redelivered),
        message.exchange or "",
        message.routing_key or "",
        message.delivery_tag or 0,
        message.headers,
        message.consumer_tag or "",
    )


def _refuse_gap(acknowledged: int, tags: Sequence[int | None]) -> None:
    """`multiple` also acknowledges every lower tag, so a batch must hold all of them: the tags of a channel are 1, 2, 3, ...

    aio_pika keeps that order. If it ever does not, this raises, and a new session starts from what was not acknowledged.
    """
    if list(tags) != list(range(acknowledged + 1, acknowledged + 1 + len(tags))):
        raise _SessionLostError(f"deliveries {tags} do not follow {acknowledged}")


@contextlib.asynccontextmanager
async def _channel(settings: ConsumerSettings) -> AsyncIterator[AbstractChannel]:
    """A channel on its own connection: a throttled consumer must not delay what is published."""
    timeout_seconds = settings.amqp_timeout_seconds
    async with broker_session(aio_pika.connect, settings.amqp_url, timeout_seconds) as connection:
        async with within(timeout_seconds, "opening a channel"):
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        yield channel
