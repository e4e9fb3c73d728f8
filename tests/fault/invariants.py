"""What must hold after any fault, whatever was killed: checked from outside, by SQL and by reading every object."""
import hashlib


def violations(system):
    """A list of sentences; empty when everything holds. Only for a system that has come to rest."""
    found = []

    def none(sentence, query):
        rows = system.sql(query)
        if rows:
            found.append(f"{sentence}: {len(rows)}, first {dict(rows[0])}")

    none("jobs not in a terminal state",
         "select id, type, status from jobs where status not in ('done', 'failed', 'cancelled')")
    none("two derivatives of one file and kind",
         "select file_id, kind from file_derivatives group by 1, 2 having count(*) > 1")
    none("files whose status is not what their jobs say", """
        select f.id, f.status from files f
          left join lateral (select count(*) filter (where status in ('queued', 'retry', 'running', 'waiting')
                                                            and ordered is not true) active,
                                    count(*) filter (where status = 'failed' and ordered is not true and not exists
                                      (select 1 from jobs p where p.id = c.parent and p.file_id = c.file_id
                                                              and p.ordered is not true)) failed
                               from jobs c where file_id = f.id and generation = f.generation) j on true
         where f.status in ('ready', 'processing', 'failed')
           and f.status::text <> case when active > 0 then 'processing' when failed > 0 then 'failed' else 'ready' end""")
    none("parts that nobody waits for", """
        select key from job_parts x where exists
          (select 1 from jobs p where p.id = x.parent and p.status in ('done', 'failed'))""")
    none("attempts over the maximum", "select id, attempts from jobs where attempts > coalesce(max_attempts, 10)")
    none("done jobs whose outputs are missing", """
        select j.id, j.type from jobs j where j.status = 'done' and j.type in ('extract_pdf', 'thumbnail')
           and not exists (select 1 from file_derivatives d where d.file_id = j.file_id
                             and d.kind = case j.type when 'extract_pdf' then 'pdf_text' else 'thumbnail' end)""")
    s3 = system.s3()
    for row in system.sql("select r2_key, size_bytes, sha256 from file_derivatives"):
        try:
            body = s3.get_object(Bucket=system.bucket, Key=row["r2_key"])["Body"].read()
        except s3.exceptions.NoSuchKey:
            found.append(f"object missing: {row['r2_key']}")
            continue
        if len(body) != row["size_bytes"] or hashlib.sha256(body).hexdigest() != row["sha256"]:
            found.append(f"object differs from its row: {row['r2_key']}")
    return found
