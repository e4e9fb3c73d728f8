-- A migration of its own: a new enum value can't be used in the transaction that adds it.
alter type job_status_t add value if not exists 'waiting';   -- a parent whose children run
alter type job_status_t add value if not exists 'cancelled';
