# SPDX-License-Identifier: MIT
"""Who goes next: limits, pauses, ageing and shares between tenants. Real schedulers against a real Postgres; workers are
played by the test, so that how long a job takes is the test's to say."""
import threading
import time

import pytest
from scheduler_process import STATISTICS, Peer, Queue, statement_texts
from system import eventually


@pytest.fixture
def start(stage):
    """Starts schedulers, none of whose statements may be refused."""
    stage.forbidden.append("state=refused sqlstate")
    return lambda node="node-a", **settings: stage.scheduler(node=node, **settings)


def fill(queue, count, kind="noop", **more):
    queue.jobs(count, kind=kind, per_file=8, **more)


class Crew:
    """A worker with so many slots, whose jobs take `seconds` and report `cpu_ms`; keeps what it saw."""

    def __init__(self, scheduler, slots, seconds=0.05, cpu_ms=None):
        self.peer, self.slots, self.seconds = Peer(scheduler), slots, seconds
        self.gateway = Peer(scheduler, role="gateway")
        self.cpu_ms = cpu_ms or (lambda task: 10)
        self.started, self.running, self.most = [], [], 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.peer.credit(slots)
        self.thread.start()

    def work(self):
        while not self.stop.is_set():
            task = self.peer.receive(0.005)
            now = time.monotonic()
            if task is not None and task["message"] == "task":
                self.started.append((now, task))
                self.running.append((now + self.seconds, task))
                self.most = max(self.most, len(self.running))
            ended = [entry for entry in self.running if entry[0] <= now]
            for entry in ended:
                self.running.remove(entry)
                self.peer.done(entry[1], cpu_ms=self.cpu_ms(entry[1]), parse_ms=int(self.seconds * 1000))
            if ended:
                self.peer.credit(self.slots - len(self.running))

    def poke(self):
        """As a gateway that has queued something."""
        self.gateway.send("poke", jobs=1)

    def of(self, tenant):
        return [at for at, task in list(self.started) if task["tenant"] == tenant]

    def close(self):
        self.stop.set()
        self.thread.join()
        self.peer.close()
        self.gateway.close()


@pytest.fixture
def crew(start):
    crews = []

    def crew(*arguments, **more):
        crews.append(Crew(*arguments, **more))
        return crews[-1]
    yield crew
    for one in crews:
        one.close()


def running(postgres, kind="noop"):
    return postgres.value("select count(*) from jobs where status = 'running' and type = %s", (kind,))


def left(postgres):
    return postgres.value("select count(*) from jobs where status <> 'done'")


# ---- limits ----


def test_limit_holds_between_nodes_and_under_kill(postgres, queue, start, crew):
    """Three schedulers, a limit of 5, one killed: never more than 5 run, whatever anybody believes, and 5 do run."""
    postgres.execute("select limits_set('five', max_running => 5, job_type => 'noop')")
    fill(queue, 100)
    fill(queue, 20, kind="selftest")
    schedulers = [start(f"node-{number}", lease_ms=1500, poll_ms=100) for number in range(3)]
    crews = [crew(scheduler, 4, seconds=0.15) for scheduler in schedulers]
    seen = []
    with postgres.connect() as connection, connection.cursor() as cursor:
        connection.autocommit = True

        def look():
            cursor.execute("select count(*) filter (where type = 'noop' and status = 'running') as n,"
                           " count(*) filter (where status <> 'done') as rest from jobs")
            row = cursor.fetchone()
            seen.append(row["n"])
            return row

        eventually(lambda: look()["n"] == 5, what="the limit used up")
        seen.clear()
        eventually(lambda: look()["rest"] < 90, what="jobs to pass")
        schedulers[0].kill()
        eventually(lambda: look()["rest"] < 50, what="jobs to pass without the first node", seconds=60)
        busy = list(seen)
        eventually(lambda: look()["rest"] == 0, what="all to be done", seconds=60)
    assert max(seen) == 5 and busy.count(5) >= 5, seen
    assert sum(len(one.started) for one in crews) >= 120


def test_limit_per_tenant_holds_nobody_up(postgres, queue, start, crew):
    """A tenant at its limit, with a deep backlog, does not slow others or its own other types."""
    postgres.execute("select limits_set('two each', max_running => 2, job_type => 'noop', per_tenant => true)")
    other = Queue(postgres)
    fill(queue, 20000, age_s=50)
    scheduler = start(poll_ms=60000)
    workers = crew(scheduler, 12, seconds=0.3)
    eventually(lambda: len(workers.running) == 2, what="two of the first")
    fill(other, 3)
    fill(queue, 2, kind="selftest")
    workers.poke()
    eventually(lambda: len(workers.of(other.tenant)) >= 2, seconds=30, what="two of the second")
    eventually(lambda: [task for _, task in list(workers.started) if task["type"] == "selftest"], seconds=30, what="other type")
    eventually(lambda: len(workers.of(other.tenant)) == 3, seconds=30, what="the third, when one of them ended")
    assert not postgres.query("select tenant_id from jobs where status = 'running' and type = 'noop' group by tenant_id"
                              " having count(*) > 2")
    assert postgres.query("select limits_drop('two each') as was, limits_drop('two each') as again") == [
        {"was": True, "again": False}]
    eventually(lambda: workers.most >= 12, seconds=30, what="no limit any more")


def test_limit_per_user(postgres, queue, start, crew):
    first, second = Queue(postgres).owner, Queue(postgres).owner
    postgres.execute("select limits_set('one each', max_running => 1, per_user => true)")
    fill(queue, 10, user=first, age_s=9)
    fill(queue, 10, user=second)
    workers = crew(start(poll_ms=60000), 8, seconds=0.15)
    most = []
    eventually(lambda: most.append(max(row["n"] for row in postgres.query(
        "select count(*) as n from jobs where status = 'running' group by user_id union all select 0"))) or
        len(workers.started) >= 8, what="jobs of both")
    assert max(most) <= 1 and workers.most == 2


def test_rate_limit(postgres, queue, start, crew):
    postgres.execute("select limits_set('slowly', max_per_minute => 6, job_type => 'noop')")
    fill(queue, 20)
    fill(queue, 3, kind="selftest")
    scheduler = start(poll_ms=100)
    workers = crew(scheduler, 10, seconds=0.01)
    eventually(lambda: len(workers.started) >= 9, what="six and three")
    time.sleep(0.5)
    assert len([1 for _, task in workers.started if task["type"] == "noop"]) == 6
    # A minute later for those three.
    moved = postgres.value("update job_starts set at = at - interval '1 min' where ctid in (select ctid from job_starts"
                           " order by at limit 1) returning jobs")
    eventually(lambda: len(workers.started) >= 9 + moved, what="those whose minute has passed")
    time.sleep(0.3)
    assert len(workers.started) == 9 + moved


def test_limits_of_nonsense_are_refused(postgres, queue):
    import psycopg2
    for bad in ("limits_set('x')", "limits_set('', max_running => 1)", "limits_set('x', max_running => -1)"):
        with pytest.raises(psycopg2.errors.CheckViolation):
            postgres.execute(f"select {bad}")


# ---- pauses ----


def test_pause_of_a_tenant(postgres, queue, start, crew):
    other = Queue(postgres)
    postgres.execute("select tenant_pause(%s)", (queue.tenant,))
    fill(queue, 2000, age_s=50)
    fill(other, 10)
    workers = crew(start(poll_ms=100), 4, seconds=0.01)
    eventually(lambda: len(workers.of(other.tenant)) == 10, seconds=30, what="the other tenant's jobs")
    assert not workers.of(queue.tenant)
    postgres.execute("select tenant_resume(%s)", (queue.tenant,))
    eventually(lambda: workers.of(queue.tenant), seconds=30, what="its jobs after the resume")
    postgres.execute("select tenant_pause(%s)", (queue.tenant,))
    # a claim that began before the pause may commit after it, and what it claimed runs
    paused = postgres.value("select clock_timestamp()")
    eventually(lambda: postgres.value("select count(*) from pg_stat_activity where xact_start < %s and datname = "
                                      "current_database()", (paused,)) == 0, what="what had begun")
    eventually(lambda: running(postgres) == 0, what="what ran to end")
    count = len(workers.started)
    time.sleep(0.3)
    assert len(workers.started) == count


# ---- tenants ----


def spent_since(crews, cost, begin, jobs):
    """The CPU time of each tenant's jobs that started after an instant, once there are so many."""
    def look():
        counts = {tenant: sum(len([at for at in one.of(tenant) if at >= begin]) for one in crews) for tenant in cost}
        return counts if sum(counts.values()) >= jobs else None
    return {tenant: cost[tenant] * count for tenant, count in eventually(look, 60, "jobs of both tenants").items()}


def test_a_deep_backlog_holds_up_nobody(postgres, queue, start, crew):
    other = Queue(postgres)
    fill(queue, 100000, age_s=3600)
    workers = crew(start(poll_ms=60000), 4, seconds=0.02)
    eventually(lambda: len(workers.started) > 40, what="the backlog to move")
    fill(other, 10)
    began = time.monotonic()
    workers.poke()
    eventually(lambda: len(workers.of(other.tenant)) == 10, seconds=60, what="the other's ten")
    last = workers.of(other.tenant)[-1]
    # 200 a second, and it is seen within a second or two that somebody else waits
    assert len([at for at in workers.of(queue.tenant) if began < at < last]) < 500


def test_equal_backlogs_get_equal_cpu_time(postgres, queue, start, crew):
    """The second's jobs cost four times as much: it gets a quarter as many, and the same time."""
    other = Queue(postgres)
    cost = {queue.tenant: 20, other.tenant: 80}
    fill(queue, 3000, age_s=100)
    fill(other, 3000, kind="selftest")
    workers = crew(start(poll_ms=60000), 4, seconds=0.02, cpu_ms=lambda task: cost[task["tenant"]])
    eventually(lambda: workers.of(other.tenant), seconds=30, what="the second tenant")
    spent = spent_since([workers], cost, workers.of(other.tenant)[0] + 1, 600)
    assert min(spent.values()) > 0 and max(spent.values()) / min(spent.values()) < 1.2, spent


def test_shares_are_equal_over_nodes_together(postgres, queue, start, crew):
    """Two nodes that are not alike, and that know of each other by Postgres alone; the second tenant's jobs cost four times as much.
    What counts is the CPU time that each tenant gets on both."""
    other = Queue(postgres)
    cost = {queue.tenant: 20, other.tenant: 80}
    fill(queue, 6000, age_s=100)
    fill(other, 6000, kind="selftest")
    crews = [crew(start(f"node-{slots}", poll_ms=100), slots, seconds=seconds, cpu_ms=lambda task: cost[task["tenant"]])
             for slots, seconds in ((8, 0.03), (2, 0.01))]
    eventually(lambda: all(one.of(other.tenant) for one in crews), seconds=30, what="the second tenant on both")
    # by then each node has told the other what was used, once
    spent = spent_since(crews, cost, time.monotonic() + 1.5, 1500)
    assert min(spent.values()) > 0 and max(spent.values()) / min(spent.values()) < 1.2, spent
    assert min(len(one.started) for one in crews) > 100


def test_more_tenants_than_a_survey_takes(postgres, queue, start, crew):
    postgres.execute("with t as (insert into tenants (name) select 'many' from generate_series(1, 900) returning id),"
                     " f as (insert into files (tenant_id, owner_user_id, r2_key_original, mime, status)"
                     "       select id, %s, 't/' || id, 'text/plain', 'processing' from t returning id, tenant_id)"
                     " insert into jobs (tenant_id, file_id, type) select tenant_id, id, 'noop' from f,"
                     " generate_series(1, 2)", (queue.owner,))
    workers = crew(start(poll_ms=100), 64, seconds=0.01)
    eventually(lambda: left(postgres) == 0, what="jobs of all", seconds=60)
    assert len({task["tenant"] for _, task in workers.started[:1000]}) > 350


# ---- priorities ----


def test_a_late_band_does_not_starve(postgres, queue, start, crew):
    fill(queue, 5000, priority=0)
    fill(queue, 20, kind="selftest", priority=3, age_s=2)
    workers = crew(start(poll_ms=60000, ageing_ms=1000), 4, seconds=0.01)
    eventually(lambda: len([1 for _, task in list(workers.started) if task["type"] == "selftest"]) == 20, seconds=60,
               what="the late band")
    late = [number for number, (_, task) in enumerate(workers.started) if task["type"] == "selftest"]
    gaps = [after - before for before, after in zip(late, late[1:])]
    assert 6 <= sum(gaps) / len(gaps) <= 12, gaps


def test_long_jobs_leave_a_runner_alone(postgres, queue, start, crew):
    fill(queue, 60, kind="ocr", age_s=9)
    workers = crew(start(poll_ms=60000, short_reserve=4), 4, seconds=60)
    eventually(lambda: len(workers.running) == 3, what="three long jobs")
    time.sleep(0.3)
    assert len(workers.running) == 3
    fill(queue, 1)
    workers.poke()
    eventually(lambda: len(workers.running) == 4, what="a short one in the place that was kept")
    assert workers.started[-1][1]["type"] == "noop"


# ---- what it costs ----


@pytest.mark.parametrize("statistics", STATISTICS)
def test_lanes_read_only_what_they_take(postgres, queue, statistics):
    """A survey over 3 lanes and a claim of 16, with 60 000 rows: pages are counted."""
    other = Queue(postgres)
    file = queue.file()
    postgres.execute("insert into jobs (tenant_id, file_id, type, status) select %s, %s,"
                     " case when n %% 2 = 0 then 'noop' else 'selftest' end, case when n %% 3 = 0 then 'done' else"
                     " 'queued' end::job_status_t from generate_series(1, 60000) n", (queue.tenant, file))
    fill(other, 20)
    postgres.execute("select limits_set('noops', max_running => 10, job_type => 'noop', per_tenant => true)")
    postgres.execute(STATISTICS[statistics])
    survey, settings = statement_texts("statements[STATEMENT_SURVEY].text")
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set plan_cache_mode = force_generic_plan")
        for name, value in settings:
            cursor.execute(f"set {name} = {value}")
        cursor.execute("prepare survey as " + survey)

        def pages(statement):
            cursor.execute("explain (analyze, buffers, format json) " + statement)
            plan = cursor.fetchone()["QUERY PLAN"][0]["Plan"]
            return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], plan

        nil = "00000000-0000-0000-0000-000000000000"
        cursor.execute(f"execute survey('{nil}', '', -1, '{nil}')")  # settles hint bits
        lanes = sorted((row["tenant"], row["type"], row["band"], row["room"]) for row in cursor.fetchall())
        assert lanes == sorted([(queue.tenant, "noop", 1, 10), (queue.tenant, "selftest", 1, None),
                                (other.tenant, "noop", 1, 10)])
        count, plan = pages(f"execute survey('{nil}', '', -1, '{nil}')")
        assert count < 250, plan
        admit = (f"select jobs_admit('n:g', 30000, '{{{queue.tenant},{other.tenant}}}', '{{noop,noop}}', '{{1,1}}',"
                 f" '{{{nil},{nil}}}', '{{-infinity,-infinity}}', '{{20,6}}')")
        cursor.execute(admit)
        cursor.execute("select cardinality(string_to_array(current_setting('filemill.admitted'), ',')) as n")
        assert cursor.fetchone()["n"] == 16
        cursor.execute("rollback")
        for name, value in settings:
            cursor.execute(f"set {name} = {value}")
        count, plan = pages(admit)
        assert count < 1500, (count, plan)
        connection.rollback()
