-- Written by the version of journal format 4: what was queued for each service, and what it had stored.
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE calls (
    day TEXT NOT NULL,
    instance TEXT NOT NULL,
    kind TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (day, instance, kind)
) WITHOUT ROWID;
CREATE TABLE checkpoints (
    item_id INTEGER PRIMARY KEY REFERENCES items (id),
    saved BLOB NOT NULL
);
CREATE TABLE cleanups (
    item_id INTEGER PRIMARY KEY REFERENCES items (id),
    instance TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    wait_until REAL NOT NULL DEFAULT 0,
    error BLOB
);
CREATE TABLE counts (
    job_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    items INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, kind, state)
) WITHOUT ROWID;
INSERT INTO "counts" VALUES(0,'delete','cancelled',0);
INSERT INTO "counts" VALUES(0,'delete','done',0);
INSERT INTO "counts" VALUES(0,'delete','failed',0);
INSERT INTO "counts" VALUES(0,'delete','paused',0);
INSERT INTO "counts" VALUES(0,'delete','queued',0);
INSERT INTO "counts" VALUES(0,'delete','running',0);
INSERT INTO "counts" VALUES(0,'delete','skipped',0);
INSERT INTO "counts" VALUES(0,'delete','waiting',0);
INSERT INTO "counts" VALUES(0,'download','cancelled',0);
INSERT INTO "counts" VALUES(0,'download','done',0);
INSERT INTO "counts" VALUES(0,'download','failed',0);
INSERT INTO "counts" VALUES(0,'download','paused',0);
INSERT INTO "counts" VALUES(0,'download','queued',0);
INSERT INTO "counts" VALUES(0,'download','running',0);
INSERT INTO "counts" VALUES(0,'download','skipped',0);
INSERT INTO "counts" VALUES(0,'download','waiting',0);
INSERT INTO "counts" VALUES(0,'upload','cancelled',0);
INSERT INTO "counts" VALUES(0,'upload','done',6);
INSERT INTO "counts" VALUES(0,'upload','failed',0);
INSERT INTO "counts" VALUES(0,'upload','paused',0);
INSERT INTO "counts" VALUES(0,'upload','queued',12);
INSERT INTO "counts" VALUES(0,'upload','running',0);
INSERT INTO "counts" VALUES(0,'upload','skipped',0);
INSERT INTO "counts" VALUES(0,'upload','waiting',0);
INSERT INTO "counts" VALUES(1,'upload','cancelled',0);
INSERT INTO "counts" VALUES(1,'upload','done',1);
INSERT INTO "counts" VALUES(1,'upload','failed',0);
INSERT INTO "counts" VALUES(1,'upload','paused',0);
INSERT INTO "counts" VALUES(1,'upload','queued',1);
INSERT INTO "counts" VALUES(1,'upload','running',0);
INSERT INTO "counts" VALUES(1,'upload','skipped',0);
INSERT INTO "counts" VALUES(1,'upload','waiting',0);
INSERT INTO "counts" VALUES(2,'upload','cancelled',0);
INSERT INTO "counts" VALUES(2,'upload','done',0);
INSERT INTO "counts" VALUES(2,'upload','failed',0);
INSERT INTO "counts" VALUES(2,'upload','paused',0);
INSERT INTO "counts" VALUES(2,'upload','queued',1);
INSERT INTO "counts" VALUES(2,'upload','running',0);
INSERT INTO "counts" VALUES(2,'upload','skipped',0);
INSERT INTO "counts" VALUES(2,'upload','waiting',0);
INSERT INTO "counts" VALUES(3,'upload','cancelled',0);
INSERT INTO "counts" VALUES(3,'upload','done',1);
INSERT INTO "counts" VALUES(3,'upload','failed',0);
INSERT INTO "counts" VALUES(3,'upload','paused',0);
INSERT INTO "counts" VALUES(3,'upload','queued',1);
INSERT INTO "counts" VALUES(3,'upload','running',0);
INSERT INTO "counts" VALUES(3,'upload','skipped',0);
INSERT INTO "counts" VALUES(3,'upload','waiting',0);
INSERT INTO "counts" VALUES(4,'upload','cancelled',0);
INSERT INTO "counts" VALUES(4,'upload','done',0);
INSERT INTO "counts" VALUES(4,'upload','failed',0);
INSERT INTO "counts" VALUES(4,'upload','paused',0);
INSERT INTO "counts" VALUES(4,'upload','queued',1);
INSERT INTO "counts" VALUES(4,'upload','running',0);
INSERT INTO "counts" VALUES(4,'upload','skipped',0);
INSERT INTO "counts" VALUES(4,'upload','waiting',0);
INSERT INTO "counts" VALUES(5,'upload','cancelled',0);
INSERT INTO "counts" VALUES(5,'upload','done',1);
INSERT INTO "counts" VALUES(5,'upload','failed',0);
INSERT INTO "counts" VALUES(5,'upload','paused',0);
INSERT INTO "counts" VALUES(5,'upload','queued',1);
INSERT INTO "counts" VALUES(5,'upload','running',0);
INSERT INTO "counts" VALUES(5,'upload','skipped',0);
INSERT INTO "counts" VALUES(5,'upload','waiting',0);
INSERT INTO "counts" VALUES(6,'upload','cancelled',0);
INSERT INTO "counts" VALUES(6,'upload','done',0);
INSERT INTO "counts" VALUES(6,'upload','failed',0);
INSERT INTO "counts" VALUES(6,'upload','paused',0);
INSERT INTO "counts" VALUES(6,'upload','queued',1);
INSERT INTO "counts" VALUES(6,'upload','running',0);
INSERT INTO "counts" VALUES(6,'upload','skipped',0);
INSERT INTO "counts" VALUES(6,'upload','waiting',0);
INSERT INTO "counts" VALUES(7,'upload','cancelled',0);
INSERT INTO "counts" VALUES(7,'upload','done',1);
INSERT INTO "counts" VALUES(7,'upload','failed',0);
INSERT INTO "counts" VALUES(7,'upload','paused',0);
INSERT INTO "counts" VALUES(7,'upload','queued',1);
INSERT INTO "counts" VALUES(7,'upload','running',0);
INSERT INTO "counts" VALUES(7,'upload','skipped',0);
INSERT INTO "counts" VALUES(7,'upload','waiting',0);
INSERT INTO "counts" VALUES(8,'upload','cancelled',0);
INSERT INTO "counts" VALUES(8,'upload','done',0);
INSERT INTO "counts" VALUES(8,'upload','failed',0);
INSERT INTO "counts" VALUES(8,'upload','paused',0);
INSERT INTO "counts" VALUES(8,'upload','queued',1);
INSERT INTO "counts" VALUES(8,'upload','running',0);
INSERT INTO "counts" VALUES(8,'upload','skipped',0);
INSERT INTO "counts" VALUES(8,'upload','waiting',0);
INSERT INTO "counts" VALUES(9,'upload','cancelled',0);
INSERT INTO "counts" VALUES(9,'upload','done',1);
INSERT INTO "counts" VALUES(9,'upload','failed',0);
INSERT INTO "counts" VALUES(9,'upload','paused',0);
INSERT INTO "counts" VALUES(9,'upload','queued',1);
INSERT INTO "counts" VALUES(9,'upload','running',0);
INSERT INTO "counts" VALUES(9,'upload','skipped',0);
INSERT INTO "counts" VALUES(9,'upload','waiting',0);
INSERT INTO "counts" VALUES(10,'upload','cancelled',0);
INSERT INTO "counts" VALUES(10,'upload','done',0);
INSERT INTO "counts" VALUES(10,'upload','failed',0);
INSERT INTO "counts" VALUES(10,'upload','paused',0);
INSERT INTO "counts" VALUES(10,'upload','queued',1);
INSERT INTO "counts" VALUES(10,'upload','running',0);
INSERT INTO "counts" VALUES(10,'upload','skipped',0);
INSERT INTO "counts" VALUES(10,'upload','waiting',0);
INSERT INTO "counts" VALUES(11,'upload','cancelled',0);
INSERT INTO "counts" VALUES(11,'upload','done',1);
INSERT INTO "counts" VALUES(11,'upload','failed',0);
INSERT INTO "counts" VALUES(11,'upload','paused',0);
INSERT INTO "counts" VALUES(11,'upload','queued',1);
INSERT INTO "counts" VALUES(11,'upload','running',0);
INSERT INTO "counts" VALUES(11,'upload','skipped',0);
INSERT INTO "counts" VALUES(11,'upload','waiting',0);
INSERT INTO "counts" VALUES(12,'upload','cancelled',0);
INSERT INTO "counts" VALUES(12,'upload','done',0);
INSERT INTO "counts" VALUES(12,'upload','failed',0);
INSERT INTO "counts" VALUES(12,'upload','paused',0);
INSERT INTO "counts" VALUES(12,'upload','queued',1);
INSERT INTO "counts" VALUES(12,'upload','running',0);
INSERT INTO "counts" VALUES(12,'upload','skipped',0);
INSERT INTO "counts" VALUES(12,'upload','waiting',0);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    item_id INTEGER NOT NULL REFERENCES items (id),
    at REAL NOT NULL,
    what TEXT NOT NULL,
    error BLOB
);
INSERT INTO "events" VALUES(1,1,1700000000.0,'running',NULL);
INSERT INTO "events" VALUES(2,1,1700000001.0,'done',NULL);
INSERT INTO "events" VALUES(3,4,1700000000.0,'running',NULL);
INSERT INTO "events" VALUES(4,4,1700000001.0,'done',NULL);
INSERT INTO "events" VALUES(5,7,1700000000.0,'running',NULL);
INSERT INTO "events" VALUES(6,7,1700000001.0,'done',NULL);
INSERT INTO "events" VALUES(7,10,1700000000.0,'running',NULL);
INSERT INTO "events" VALUES(8,10,1700000001.0,'done',NULL);
INSERT INTO "events" VALUES(9,13,1700000000.0,'running',NULL);
INSERT INTO "events" VALUES(10,13,1700000001.0,'done',NULL);
INSERT INTO "events" VALUES(11,16,1700000000.0,'running',NULL);
INSERT INTO "events" VALUES(12,16,1700000001.0,'done',NULL);
CREATE TABLE facts (key TEXT PRIMARY KEY, fact BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE holds (
    instance TEXT PRIMARY KEY,
    until REAL,
    error BLOB NOT NULL
);
CREATE TABLE item_calls (
    item_id INTEGER NOT NULL REFERENCES items (id),
    kind TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (item_id, kind)
) WITHOUT ROWID;
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    place_id INTEGER NOT NULL REFERENCES places (id),
    instance TEXT NOT NULL,
    job_kind TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    name BLOB NOT NULL,
    key BLOB NOT NULL,
    local_path BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    bytes_done INTEGER NOT NULL DEFAULT 0,
    replaces INTEGER,
    wish TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    wait_until REAL,
    error BLOB,
    proof TEXT,
    sha256 TEXT NOT NULL DEFAULT '',
    replaced INTEGER,
    elapsed_s REAL NOT NULL DEFAULT 0,
    changed_at REAL NOT NULL,
    finished_at REAL, etag TEXT NOT NULL DEFAULT '',
    UNIQUE (job_id, name)
);
INSERT INTO "items" VALUES(1,1,1,'nas','upload','file','done',X'646F6E652E747874',X'646F6E652E747874',X'2F7372762F646174612F646F6E652E747874',5,5,NULL,NULL,1,0,NULL,NULL,'matched','5555555555555555555555555555555555555555555555555555555555555555',0,0.1,1700000001.0,1700000001.0,'etag-of-done');
INSERT INTO "items" VALUES(2,1,1,'nas','upload','file','queued',X'626F756E642E747874',X'626F756E642E747874',X'2F7372762F646174612F626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(3,2,2,'nas','upload','file','queued',X'756E626F756E642E747874',X'756E626F756E642E747874',X'2F7372762F646174612F756E626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(4,3,3,'aws','upload','file','done',X'646F6E652E747874',X'646F6E652E747874',X'2F7372762F646174612F646F6E652E747874',5,5,NULL,NULL,1,0,NULL,NULL,'matched','5555555555555555555555555555555555555555555555555555555555555555',0,0.1,1700000001.0,1700000001.0,'etag-of-done');
INSERT INTO "items" VALUES(5,3,3,'aws','upload','file','queued',X'626F756E642E747874',X'626F756E642E747874',X'2F7372762F646174612F626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(6,4,4,'aws','upload','file','queued',X'756E626F756E642E747874',X'756E626F756E642E747874',X'2F7372762F646174612F756E626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(7,5,5,'b2','upload','file','done',X'646F6E652E747874',X'646F6E652E747874',X'2F7372762F646174612F646F6E652E747874',5,5,NULL,NULL,1,0,NULL,NULL,'matched','5555555555555555555555555555555555555555555555555555555555555555',0,0.1,1700000001.0,1700000001.0,'etag-of-done');
INSERT INTO "items" VALUES(8,5,5,'b2','upload','file','queued',X'626F756E642E747874',X'626F756E642E747874',X'2F7372762F646174612F626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(9,6,6,'b2','upload','file','queued',X'756E626F756E642E747874',X'756E626F756E642E747874',X'2F7372762F646174612F756E626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(10,7,7,'box','upload','file','done',X'646F6E652E747874',X'646F6E652E747874',X'2F7372762F646174612F646F6E652E747874',5,5,NULL,NULL,1,0,NULL,NULL,'matched','5555555555555555555555555555555555555555555555555555555555555555',0,0.1,1700000001.0,1700000001.0,'etag-of-done');
INSERT INTO "items" VALUES(11,7,7,'box','upload','file','queued',X'626F756E642E747874',X'626F756E642E747874',X'2F7372762F646174612F626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(12,8,8,'box','upload','file','queued',X'756E626F756E642E747874',X'756E626F756E642E747874',X'2F7372762F646174612F756E626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(13,9,9,'drive','upload','file','done',X'646F6E652E747874',X'646F6E652E747874',X'2F7372762F646174612F646F6E652E747874',5,5,NULL,NULL,1,0,NULL,NULL,'matched','5555555555555555555555555555555555555555555555555555555555555555',0,0.1,1700000001.0,1700000001.0,'etag-of-done');
INSERT INTO "items" VALUES(14,9,9,'drive','upload','file','queued',X'626F756E642E747874',X'626F756E642E747874',X'2F7372762F646174612F626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(15,10,10,'drive','upload','file','queued',X'756E626F756E642E747874',X'756E626F756E642E747874',X'2F7372762F646174612F756E626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(16,11,11,'disk','upload','file','done',X'646F6E652E747874',X'646F6E652E747874',X'2F7372762F646174612F646F6E652E747874',5,5,NULL,NULL,1,0,NULL,NULL,'matched','5555555555555555555555555555555555555555555555555555555555555555',0,0.1,1700000001.0,1700000001.0,'etag-of-done');
INSERT INTO "items" VALUES(17,11,11,'disk','upload','file','queued',X'626F756E642E747874',X'626F756E642E747874',X'2F7372762F646174612F626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
INSERT INTO "items" VALUES(18,12,12,'disk','upload','file','queued',X'756E626F756E642E747874',X'756E626F756E642E747874',X'2F7372762F646174612F756E626F756E642E747874',5,0,NULL,NULL,0,0,NULL,NULL,NULL,'',NULL,0.0,1700000000.0,NULL,'');
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    instance TEXT NOT NULL,
    place_id INTEGER NOT NULL REFERENCES places (id),
    title BLOB NOT NULL,
    destination BLOB NOT NULL,
    request BLOB NOT NULL,
    created_at REAL NOT NULL,
    scanning INTEGER NOT NULL,
    error BLOB,
    open_items INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    done_bytes INTEGER NOT NULL DEFAULT 0,
    skipped_symlinks INTEGER NOT NULL DEFAULT 0,
    skipped_special INTEGER NOT NULL DEFAULT 0
, listed_bytes INTEGER NOT NULL DEFAULT 0);
INSERT INTO "jobs" VALUES(1,'upload','nas',1,X'626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,10,5,0,0,10);
INSERT INTO "jobs" VALUES(2,'upload','nas',2,X'756E626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F756E626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,5,0,0,0,5);
INSERT INTO "jobs" VALUES(3,'upload','aws',3,X'626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,10,5,0,0,10);
INSERT INTO "jobs" VALUES(4,'upload','aws',4,X'756E626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F756E626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,5,0,0,0,5);
INSERT INTO "jobs" VALUES(5,'upload','b2',5,X'626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,10,5,0,0,10);
INSERT INTO "jobs" VALUES(6,'upload','b2',6,X'756E626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F756E626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,5,0,0,0,5);
INSERT INTO "jobs" VALUES(7,'upload','box',7,X'626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,10,5,0,0,10);
INSERT INTO "jobs" VALUES(8,'upload','box',8,X'756E626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F756E626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,5,0,0,0,5);
INSERT INTO "jobs" VALUES(9,'upload','drive',9,X'626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,10,5,0,0,10);
INSERT INTO "jobs" VALUES(10,'upload','drive',10,X'756E626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F756E626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,5,0,0,0,5);
INSERT INTO "jobs" VALUES(11,'upload','disk',11,X'626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,10,5,0,0,10);
INSERT INTO "jobs" VALUES(12,'upload','disk',12,X'756E626F756E642E747874',X'2F',X'7B226B696E64223A2275706C6F6164222C22736F7572636573223A5B222F7372762F646174612F756E626F756E642E747874225D2C22746F223A22222C226578616374223A66616C73652C22636F6E666C69637473223A227265706C616365227D',1700000000.0,0,NULL,1,5,0,0,0,5);
CREATE TABLE parts (
    item_id INTEGER NOT NULL REFERENCES items (id),
    part INTEGER NOT NULL,
    receipt BLOB NOT NULL,
    PRIMARY KEY (item_id, part)
) WITHOUT ROWID;
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    instance TEXT NOT NULL,
    type TEXT NOT NULL,
    container TEXT NOT NULL,
    settings TEXT NOT NULL,
    location TEXT NOT NULL DEFAULT ''
);
INSERT INTO "places" VALUES(1,'nas','aws_s3','backups','{"container": "backups", "endpoint_url": "http://127.0.0.1:9000/", "prefix": "the photos"}','aws_s3 http://127.0.0.1:9000 bucket=backups prefix=the photos/ id=AKIAOLD');
INSERT INTO "places" VALUES(2,'nas','aws_s3','backups','{"container": "backups", "endpoint_url": "http://127.0.0.1:9000/", "prefix": "the photos"}','');
INSERT INTO "places" VALUES(3,'aws','aws_s3','my-backups','{"container": "my-backups"}','aws_s3 AWS eu-central-1 bucket=my-backups id=AKIAOLD');
INSERT INTO "places" VALUES(4,'aws','aws_s3','my-backups','{"container": "my-backups"}','');
INSERT INTO "places" VALUES(5,'b2','backblaze','backups','{"container": "backups", "realm": "http://127.0.0.1:9001"}','backblaze http://127.0.0.1:9001 bucket=backups id=0001old');
INSERT INTO "places" VALUES(6,'b2','backblaze','backups','{"container": "backups", "realm": "http://127.0.0.1:9001"}','');
INSERT INTO "places" VALUES(7,'box','dropbox','backups','{"container": "backups", "endpoint_url": "http://127.0.0.1:9002"}','dropbox http://127.0.0.1:9002 app=app1 folder=/backups');
INSERT INTO "places" VALUES(8,'box','dropbox','backups','{"container": "backups", "endpoint_url": "http://127.0.0.1:9002"}','');
INSERT INTO "places" VALUES(9,'drive','google_drive','Backups','{"container": "Backups", "endpoint_url": "http://127.0.0.1:9003"}','google_drive http://127.0.0.1:9003 of client1: My Drive folder=Backups');
INSERT INTO "places" VALUES(10,'drive','google_drive','Backups','{"container": "Backups", "endpoint_url": "http://127.0.0.1:9003"}','');
INSERT INTO "places" VALUES(11,'disk','local','/srv/store','{"container": "/srv/store"}','local /srv/store');
INSERT INTO "places" VALUES(12,'disk','local','/srv/store','{"container": "/srv/store"}','');
CREATE TABLE totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL DEFAULT 0,
    leaving INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    done_bytes INTEGER NOT NULL DEFAULT 0,
    scanning INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "totals" VALUES(1,6,0,90,30,0);
CREATE INDEX places_of_instance ON places (instance);
CREATE INDEX jobs_scanning ON jobs (id) WHERE scanning;
CREATE INDEX jobs_open ON jobs (instance) WHERE scanning OR open_items;
CREATE INDEX items_open ON items (state, id) WHERE finished_at IS NULL;
CREATE INDEX items_ready ON items (instance, id) WHERE state = 'queued';
CREATE INDEX items_waiting ON items (wait_until) WHERE state = 'waiting';
CREATE INDEX items_ended ON items (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX items_of_job ON items (job_id, state, id);
CREATE INDEX events_of_item ON events (item_id, id);
CREATE TRIGGER item_added AFTER INSERT ON items BEGIN
    UPDATE counts SET items = items + 1
        WHERE job_id IN (0, NEW.job_id) AND kind = NEW.job_kind AND state = NEW.state;
    UPDATE jobs SET
        open_items = open_items + (NEW.state IN ('queued', 'running', 'waiting', 'paused')),
        size_bytes = size_bytes + CASE WHEN NEW.job_kind = 'delete' OR NEW.state IN ('skipped', 'cancelled') THEN 0 ELSE NEW.size_bytes END,
        done_bytes = done_bytes + CASE WHEN NEW.job_kind = 'delete' OR NEW.state IN ('skipped', 'cancelled') THEN 0 ELSE NEW.bytes_done END,
        skipped_symlinks = skipped_symlinks + (NEW.state = 'skipped' AND NEW.kind = 'symlink'),
        skipped_special = skipped_special + (NEW.state = 'skipped' AND NEW.kind = 'other')
        WHERE id = NEW.job_id;
END;
CREATE TRIGGER item_moved AFTER UPDATE OF state ON items WHEN OLD.state <> NEW.state BEGIN
    UPDATE counts SET items = items - 1
        WHERE job_id IN (0, OLD.job_id) AND kind = OLD.job_kind AND state = OLD.state;
    UPDATE counts SET items = items + 1
        WHERE job_id IN (0, NEW.job_id) AND kind = NEW.job_kind AND state = NEW.state;
    INSERT INTO events (item_id, at, what, error) VALUES (NEW.id, NEW.changed_at, NEW.state, NEW.error);
END;
CREATE TRIGGER item_weighed AFTER UPDATE OF state, size_bytes, bytes_done ON items
WHEN (OLD.state IN ('queued', 'running', 'waiting', 'paused')) <> (NEW.state IN ('queued', 'running', 'waiting', 'paused'))
    OR (OLD.state IN ('skipped', 'cancelled')) <> (NEW.state IN ('skipped', 'cancelled'))
    OR OLD.size_bytes <> NEW.size_bytes OR OLD.bytes_done <> NEW.bytes_done BEGIN
    UPDATE jobs SET
        open_items = open_items + (NEW.state IN ('queued', 'running', 'waiting', 'paused')) - (OLD.state IN ('queued', 'running', 'waiting', 'paused')),
        size_bytes = size_bytes + (CASE WHEN NEW.job_kind = 'delete' OR NEW.state IN ('skipped', 'cancelled') THEN 0 ELSE NEW.size_bytes END) - (CASE WHEN OLD.job_kind = 'delete' OR OLD.state IN ('skipped', 'cancelled') THEN 0 ELSE OLD.size_bytes END),
        done_bytes = done_bytes + (CASE WHEN NEW.job_kind = 'delete' OR NEW.state IN ('skipped', 'cancelled') THEN 0 ELSE NEW.bytes_done END) - (CASE WHEN OLD.job_kind = 'delete' OR OLD.state IN ('skipped', 'cancelled') THEN 0 ELSE OLD.bytes_done END)
        WHERE id = NEW.job_id;
END;
CREATE TRIGGER item_cancelled AFTER UPDATE OF state ON items WHEN NEW.state = 'cancelled' BEGIN
    INSERT INTO cleanups (item_id, instance)
        SELECT NEW.id, NEW.instance FROM checkpoints WHERE item_id = NEW.id
        ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER item_taken_up_again AFTER UPDATE OF state ON items WHEN OLD.state = 'cancelled' BEGIN
    DELETE FROM cleanups WHERE item_id = OLD.id;
END;
CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
    UPDATE totals SET scanning = scanning + NEW.scanning;
END;
CREATE TRIGGER job_changed AFTER UPDATE OF scanning, open_items, size_bytes, done_bytes ON jobs BEGIN
    UPDATE totals SET
        scanning = scanning + NEW.scanning - OLD.scanning,
        size_bytes = size_bytes + (CASE WHEN NEW.scanning OR NEW.open_items THEN NEW.size_bytes ELSE 0 END)
            - (CASE WHEN OLD.scanning OR OLD.open_items THEN OLD.size_bytes ELSE 0 END),
        done_bytes = done_bytes + (CASE WHEN NEW.scanning OR NEW.open_items THEN NEW.done_bytes ELSE 0 END)
            - (CASE WHEN OLD.scanning OR OLD.open_items THEN OLD.done_bytes ELSE 0 END);
END;
CREATE INDEX items_history ON items (key, id) WHERE etag <> '';
CREATE TRIGGER item_listed AFTER INSERT ON items WHEN NEW.size_bytes BEGIN
    UPDATE jobs SET listed_bytes = listed_bytes + NEW.size_bytes WHERE id = NEW.job_id;
END;
CREATE TRIGGER item_resized AFTER UPDATE OF size_bytes ON items WHEN OLD.size_bytes <> NEW.size_bytes BEGIN
    UPDATE jobs SET listed_bytes = listed_bytes + NEW.size_bytes - OLD.size_bytes WHERE id = NEW.job_id;
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',12);
INSERT INTO "sqlite_sequence" VALUES('items',18);
COMMIT;
