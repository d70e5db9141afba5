"""The first system's job on usage events, as Spark's users write it: hourly counts, and every event into a Parquet archive.

Talks in lines: prints `ready` when its session has started; runs its job once for each line of JSON on stdin, the folder and
topic that it writes to; prints `done` after each.
"""

import json
import sys

from pyspark.sql import DataFrame, SparkSession, functions as F

EVENT = """
    eventId STRING, requestTime TIMESTAMP, responseTime TIMESTAMP, requestProtocol STRING, requestMethod STRING,
    requestUri STRING, responseStatus INT, errorCode STRING, clientIp STRING, clientAgent STRING, apiKeyId BIGINT,
    memberId BIGINT, memberGrade STRING, traceId STRING, traceparent STRING, routeId STRING, apiEndpointId BIGINT,
    gatewayId STRING, requestBytes BIGINT, responseBytes BIGINT, upstreamLatencyMs BIGINT, units BIGINT,
    schemaVersion INT, streamId STRING, seq BIGINT, prevSeq BIGINT
"""
KEY = ["apiEndpointId", "memberId", "apiKeyId", "responseStatus"]


def hourly_counts(events: DataFrame) -> DataFrame:
    return events.groupBy(F.window("requestTime", "1 hour"), *KEY).agg(
        F.count("*").alias("count"),
        F.sum("units").alias("units"),
        F.sum("requestBytes").alias("requestBytes"),
        F.sum("responseBytes").alias("responseBytes"),
    )


def with_hours(events: DataFrame) -> DataFrame:
    """Columns that name the archive's folders."""
    return events.withColumn("date", F.to_date("requestTime")).withColumn("hour", F.hour("requestTime"))


def run_batch(spark: SparkSession, settings: dict, run: dict) -> None:
    """Files of NDJSON to two sets of Parquet files."""
    events = spark.read.schema(EVENT).json(settings["files"])
    hourly_counts(events).write.parquet(f"{run['folder']}/hourly")
    with_hours(events).write.partitionBy("date", "hour").parquet(f"{run['folder']}/archive")


def run_streaming(spark: SparkSession, settings: dict, run: dict) -> None:
    """A topic to hourly counts on another topic, the last of each key being the one that counts, and to Parquet files."""
    kafka = {"kafka.bootstrap.servers": settings["brokers"]}
    records = (
        spark.readStream.format("kafka").options(**kafka)
        .options(subscribe=settings["topic"], startingOffsets="earliest", maxOffsetsPerTrigger=settings["batchEvents"])
        .load()
    )
    events = records.select(F.from_json(F.col("value").cast("string"), EVENT).alias("event")).select("event.*")
    counts = (
        hourly_counts(events.withWatermark("requestTime", "1 hour"))
        .select(F.concat_ws("|", "window.start", *KEY).alias("key"), F.to_json(F.struct("*")).alias("value"))
        .writeStream.format("kafka").options(**kafka).outputMode("update")
        .options(topic=run["topic"], checkpointLocation=f"{run['folder']}/checkpoint-hourly")
        .trigger(availableNow=True).start()
    )
    archive = (
        with_hours(events).writeStream.format("parquet").partitionBy("date", "hour")
        .options(path=f"{run['folder']}/archive", checkpointLocation=f"{run['folder']}/checkpoint-archive")
        .trigger(availableNow=True).start()
    )
    for query in (counts, archive):
        query.awaitTermination()


def main() -> None:
    settings = json.loads(sys.argv[1])
    builder = SparkSession.builder.appName("usage")
    for name, value in settings["spark"].items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    job = {"batch": run_batch, "streaming": run_streaming}[settings["mode"]]
    print("ready", flush=True)
    for line in sys.stdin:
        job(spark, settings, json.loads(line))
        print("done", flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
