BEGIN TRANSACTION;
CREATE TABLE alerts (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	status TEXT NOT NULL, 
	starts_at FLOAT NOT NULL, 
	ends_at FLOAT, 
	labels JSON NOT NULL, 
	annotations JSON NOT NULL, 
	source TEXT NOT NULL, 
	received_at FLOAT NOT NULL, 
	handled INTEGER DEFAULT '0' NOT NULL, 
	incident_id TEXT, 
	PRIMARY KEY (id), 
	UNIQUE ("key")
);
INSERT INTO "alerts" VALUES(1,'infra.cpu_utilization/api-1/critical/1800000000.0/firing','infra.cpu_utilization/api-1/critical','firing',1800000000.0,NULL,'{"alertname": "InfraCpuUtilization", "metric_id": "infra.cpu_utilization", "resource": "api-1", "severity": "critical", "category": "infra", "grace": "true"}','{}','webhook',1800000000.0,1,'inc_1mcc5rm00pf35chb2wf');
INSERT INTO "alerts" VALUES(2,'executor.queue_depth/workers/critical/1800000120.0/firing','executor.queue_depth/workers/critical','firing',1800000120.0,NULL,'{"alertname": "ExecutorQueueDepth", "metric_id": "executor.queue_depth", "resource": "workers", "severity": "critical", "category": "executor", "grace": "true"}','{}','webhook',1800000120.0,1,'inc_1mcc5w960kn45w50amc');
INSERT INTO "alerts" VALUES(3,'api.latency_p95/api/critical/1800000120.0/firing','api.latency_p95/api/critical','firing',1800000120.0,NULL,'{"alertname": "ApiLatencyP95", "metric_id": "api.latency_p95", "resource": "api", "severity": "critical", "category": "api", "grace": "true"}','{}','webhook',1800000120.0,1,'inc_1mcc5w960er8722dfp3');
CREATE TABLE approval_votes (
	approval_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	vote TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (approval_id, name)
);
CREATE TABLE approvals (
	id TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	incident_id TEXT, 
	plan_digest TEXT NOT NULL, 
	tier INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	needed INTEGER NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	decided_at FLOAT, 
	reason TEXT DEFAULT '' NOT NULL, policy TEXT NOT NULL DEFAULT '', 
	PRIMARY KEY (id)
);
INSERT INTO "approvals" VALUES('app_1mcc5w9600cwp9zkp4q','run_1mcc5w960vhjk7vcyzg','inc_1mcc5w960er8722dfp3','f719bd936a94523b6c32a50858949ae0898789d15e6db20b644f1d9268e69e33',2,'pending',1,1800000120.0,1800001920.0,NULL,'','');
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	kind TEXT NOT NULL, 
	incident_id TEXT, 
	run_id TEXT, 
	actor TEXT NOT NULL, 
	entry TEXT NOT NULL, 
	prev VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "audit" VALUES(1,1800000000.0,'alert_received','inc_1mcc5rm00pf35chb2wf',NULL,'grace','{"actor":"grace","at":1800000000,"body":{"alertname":"InfraCpuUtilization","fingerprint":"infra.cpu_utilization/api-1/critical","meaning":"opens an incident","metric_id":"infra.cpu_utilization","resource":"api-1","severity":"critical","source":"webhook","starts_at":1800000000,"status":"firing"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"alert_received","run_id":null,"seq":1}','0000000000000000000000000000000000000000000000000000000000000000','3ef2068356415421db54673d62f695ec88279d87c77b2685abd46ea298b6fb13');
INSERT INTO "audit" VALUES(2,1800000000.0,'incident_opened','inc_1mcc5rm00pf35chb2wf',NULL,'grace','{"actor":"grace","at":1800000000,"body":{"band":"critical","catalog":"7a98d966090a13847ac21272da28a1943b92be1885c6e7c0e3265424f7fde40a","metric_id":"infra.cpu_utilization","resource":"api-1"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"incident_opened","run_id":null,"seq":2}','3ef2068356415421db54673d62f695ec88279d87c77b2685abd46ea298b6fb13','4f9b33b089fa423d15f26c29302bcb010f8453a5748f583e1104b80238af0701');
INSERT INTO "audit" VALUES(3,1800000000.0,'incident_moved','inc_1mcc5rm00pf35chb2wf',NULL,'grace','{"actor":"grace","at":1800000000,"body":{"from":"open","reason":"its turn","to":"planning"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"incident_moved","run_id":null,"seq":3}','4f9b33b089fa423d15f26c29302bcb010f8453a5748f583e1104b80238af0701','3e81136c50edef60a80ab2a3164428e6a8f0bd5cbcdf82ab0a5006accb7471ce');
INSERT INTO "audit" VALUES(4,1800000000.0,'decision','inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','grace','{"actor":"grace","at":1800000000,"body":{"approvals_needed":0,"confidence":0.8,"detail":{"within_ceiling":"tier_2 is within the ceiling tier_2"},"digest":"2c85eb94a8fbb8e529cd2fd75946c6a106dfc6ea190dba1be0ffa0aa291ffb49","evidence":"confirmed","note":"3 of 3 measurements are critical or worse; the last is 87 %","playbook":"shift-load","reasons":["within_ceiling"],"steps":[{"before":{"value":0},"desired":{"value":1},"driver":"fake","target":"edge","verb":"shift"}],"target":"edge","tier":"tier_2","verdict":"allow"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"decision","run_id":"run_1mcc5rm00926b80yzza","seq":4}','3e81136c50edef60a80ab2a3164428e6a8f0bd5cbcdf82ab0a5006accb7471ce','72431629e26dd76db2ffbd0391eb0a13011c31cb4021d57168cbc04e50ab78c3');
INSERT INTO "audit" VALUES(5,1800000000.0,'run_moved','inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','grace','{"actor":"grace","at":1800000000,"body":{"confidence":0.8,"from":"planned","reasons":["within_ceiling"],"to":"running","verdict":"allow"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"run_moved","run_id":"run_1mcc5rm00926b80yzza","seq":5}','72431629e26dd76db2ffbd0391eb0a13011c31cb4021d57168cbc04e50ab78c3','f4b9f33f2c575a46430c976d578b50341603f92201aee44910605083d5751261');
INSERT INTO "audit" VALUES(6,1800000000.0,'incident_moved','inc_1mcc5rm00pf35chb2wf',NULL,'grace','{"actor":"grace","at":1800000000,"body":{"from":"planning","reason":"running shift-load","to":"acting"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"incident_moved","run_id":null,"seq":6}','f4b9f33f2c575a46430c976d578b50341603f92201aee44910605083d5751261','d33a5f0ca99d11534813fc0f772a15657a4bc4ea062849f7ed54214da070ad70');
INSERT INTO "audit" VALUES(7,1800000000.0,'snapshot','inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','grace','{"actor":"grace","at":1800000000,"body":{"avg":73.5,"bands":{"critical":3,"good":3,"warning":0},"count":6,"last":87,"max":87,"metric_id":"infra.cpu_utilization","min":60,"moment":"before","p95":87,"resource":"api-1","unit":"%","window_seconds":300},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"snapshot","run_id":"run_1mcc5rm00926b80yzza","seq":7}','d33a5f0ca99d11534813fc0f772a15657a4bc4ea062849f7ed54214da070ad70','82bd03e3469e80c590148dd3d7d24e20562c34cf15db5243687a2a373f1dcc94');
INSERT INTO "audit" VALUES(8,1800000000.0,'step_intended','inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','grace','{"actor":"grace","at":1800000000,"body":{"attempt":1,"before":{"value":0},"desired":{"value":1},"driver":"fake","phase":"do","step":0,"target":"edge","verb":"shift"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"step_intended","run_id":"run_1mcc5rm00926b80yzza","seq":8}','82bd03e3469e80c590148dd3d7d24e20562c34cf15db5243687a2a373f1dcc94','b5d067a96a5ebfaa0d9cea16a3e8c3bc3b6d6d508e33424a1c395f4775b626be');
INSERT INTO "audit" VALUES(9,1800000000.0,'step_done','inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','grace','{"actor":"grace","at":1800000000,"body":{"after":{"value":1},"phase":"do","result":"done","step":0},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"step_done","run_id":"run_1mcc5rm00926b80yzza","seq":9}','b5d067a96a5ebfaa0d9cea16a3e8c3bc3b6d6d508e33424a1c395f4775b626be','3e16af35218dc55f953adfa0d1488f48b95202f8fafd82e670f51450807cb2a6');
INSERT INTO "audit" VALUES(10,1800000000.0,'run_moved','inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','grace','{"actor":"grace","at":1800000000,"body":{"from":"running","to":"verifying"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"run_moved","run_id":"run_1mcc5rm00926b80yzza","seq":10}','3e16af35218dc55f953adfa0d1488f48b95202f8fafd82e670f51450807cb2a6','73c93b2c6b06ee36443dfe1054fb43efbb10797d2509ee5a32e275dbcd15ec8d');
INSERT INTO "audit" VALUES(11,1800000000.0,'incident_moved','inc_1mcc5rm00pf35chb2wf',NULL,'grace','{"actor":"grace","at":1800000000,"body":{"from":"acting","reason":"shift-load done; watching infra.cpu_utilization","to":"verifying"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"incident_moved","run_id":null,"seq":11}','73c93b2c6b06ee36443dfe1054fb43efbb10797d2509ee5a32e275dbcd15ec8d','f06e2233d5546cdb7dce22215c267764f74602ac233537336cfabe25af45d911');
INSERT INTO "audit" VALUES(12,1800000120.0,'snapshot','inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','grace','{"actor":"grace","at":1800000120,"body":{"avg":66.75,"bands":{"critical":1,"good":3,"warning":0},"count":4,"last":60,"max":87,"metric_id":"infra.cpu_utilization","min":60,"moment":"after","p95":87,"resource":"api-1","unit":"%","window_seconds":300},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"snapshot","run_id":"run_1mcc5rm00926b80yzza","seq":12}','f06e2233d5546cdb7dce22215c267764f74602ac233537336cfabe25af45d911','eefe03be0426b06ff9a8b008a49cca50f92658f5a99fa9d05b676e55a9f830c2');
INSERT INTO "audit" VALUES(13,1800000120.0,'run_moved','inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','grace','{"actor":"grace","at":1800000120,"body":{"from":"verifying","reason":"the metric is good again","to":"healed"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"run_moved","run_id":"run_1mcc5rm00926b80yzza","seq":13}','eefe03be0426b06ff9a8b008a49cca50f92658f5a99fa9d05b676e55a9f830c2','0d14792b99213112d5d869de44ab29fde653b102d9f533b01bb5592feaded78f');
INSERT INTO "audit" VALUES(14,1800000120.0,'incident_moved','inc_1mcc5rm00pf35chb2wf',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"from":"verifying","outcome":"healed","reason":"healed by shift-load: the metric is 60 %","to":"closed"},"incident_id":"inc_1mcc5rm00pf35chb2wf","kind":"incident_moved","run_id":null,"seq":14}','0d14792b99213112d5d869de44ab29fde653b102d9f533b01bb5592feaded78f','8157f8824319c1da344fe53a96b1a1a9368bdb7be7aac4f9aa678e2026503123');
INSERT INTO "audit" VALUES(15,1800000120.0,'alert_received','inc_1mcc5w960kn45w50amc',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"alertname":"ExecutorQueueDepth","fingerprint":"executor.queue_depth/workers/critical","meaning":"opens an incident","metric_id":"executor.queue_depth","resource":"workers","severity":"critical","source":"webhook","starts_at":1800000120,"status":"firing"},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"alert_received","run_id":null,"seq":15}','8157f8824319c1da344fe53a96b1a1a9368bdb7be7aac4f9aa678e2026503123','1ffa86b229d4f797fade57a078897a1ec12aa550c8617379a7224e0fb1e5c840');
INSERT INTO "audit" VALUES(16,1800000120.0,'incident_opened','inc_1mcc5w960kn45w50amc',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"band":"critical","catalog":"7a98d966090a13847ac21272da28a1943b92be1885c6e7c0e3265424f7fde40a","metric_id":"executor.queue_depth","resource":"workers"},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"incident_opened","run_id":null,"seq":16}','1ffa86b229d4f797fade57a078897a1ec12aa550c8617379a7224e0fb1e5c840','e7b88edbd3e6bc1e769b9ab68a9b0b727497d13e12bad76342d509a2917837c4');
INSERT INTO "audit" VALUES(17,1800000120.0,'incident_moved','inc_1mcc5w960kn45w50amc',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"from":"open","reason":"its turn","to":"planning"},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"incident_moved","run_id":null,"seq":17}','e7b88edbd3e6bc1e769b9ab68a9b0b727497d13e12bad76342d509a2917837c4','7ca518d22a5f3fcc71399033dbe8540bf5fba684c5f0e37fab9405c9d1a094ac');
INSERT INTO "audit" VALUES(18,1800000120.0,'decision','inc_1mcc5w960kn45w50amc','run_1mcc5w9606pb495yncg','grace','{"actor":"grace","at":1800000120,"body":{"approvals_needed":0,"confidence":0.8,"detail":{"within_ceiling":"tier_2 is within the ceiling tier_2"},"digest":"46816abe67334244e036af4f5c75e678ff11c07095b7147b0a6278c388c888e6","evidence":"confirmed","note":"3 of 3 measurements are critical or worse; the last is 77 tasks","playbook":"scale-workers","reasons":["within_ceiling"],"steps":[{"before":{"value":0},"desired":{"value":1},"driver":"fake","target":"workers","verb":"scale"}],"target":"workers","tier":"tier_2","verdict":"allow"},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"decision","run_id":"run_1mcc5w9606pb495yncg","seq":18}','7ca518d22a5f3fcc71399033dbe8540bf5fba684c5f0e37fab9405c9d1a094ac','6c9b4b5b85cbaaad7955f0ce0d4768116807ca9122d080054541e2265bf379ec');
INSERT INTO "audit" VALUES(19,1800000120.0,'run_moved','inc_1mcc5w960kn45w50amc','run_1mcc5w9606pb495yncg','grace','{"actor":"grace","at":1800000120,"body":{"confidence":0.8,"from":"planned","reasons":["within_ceiling"],"to":"running","verdict":"allow"},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"run_moved","run_id":"run_1mcc5w9606pb495yncg","seq":19}','6c9b4b5b85cbaaad7955f0ce0d4768116807ca9122d080054541e2265bf379ec','527c0d6bc41e044e63e5a730782bc344d921c8c23bbe3a965a39875639609b8d');
INSERT INTO "audit" VALUES(20,1800000120.0,'incident_moved','inc_1mcc5w960kn45w50amc',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"from":"planning","reason":"running scale-workers","to":"acting"},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"incident_moved","run_id":null,"seq":20}','527c0d6bc41e044e63e5a730782bc344d921c8c23bbe3a965a39875639609b8d','0bcf9fbb96acaad4d5e610be72cc38e645f4dc2b89da1a0b7afdc237dc7b3a1b');
INSERT INTO "audit" VALUES(21,1800000120.0,'snapshot','inc_1mcc5w960kn45w50amc','run_1mcc5w9606pb495yncg','grace','{"actor":"grace","at":1800000120,"body":{"avg":77,"bands":{"critical":3,"good":0,"warning":0},"count":3,"last":77,"max":77,"metric_id":"executor.queue_depth","min":77,"moment":"before","p95":77,"resource":"workers","unit":"tasks","window_seconds":300},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"snapshot","run_id":"run_1mcc5w9606pb495yncg","seq":21}','0bcf9fbb96acaad4d5e610be72cc38e645f4dc2b89da1a0b7afdc237dc7b3a1b','a5f3933dccaa3366846cb4cd5b2a910854ac7cc81c87eceecccce282e252b24d');
INSERT INTO "audit" VALUES(22,1800000120.0,'step_intended','inc_1mcc5w960kn45w50amc','run_1mcc5w9606pb495yncg','grace','{"actor":"grace","at":1800000120,"body":{"attempt":1,"before":{"value":0},"desired":{"value":1},"driver":"fake","phase":"do","step":0,"target":"workers","verb":"scale"},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"step_intended","run_id":"run_1mcc5w9606pb495yncg","seq":22}','a5f3933dccaa3366846cb4cd5b2a910854ac7cc81c87eceecccce282e252b24d','ac7433d0501426d8b6e6f7951ba3bb6cf15e0425bf78ec63667eb2c84301e6ed');
INSERT INTO "audit" VALUES(23,1800000120.0,'step_done','inc_1mcc5w960kn45w50amc','run_1mcc5w9606pb495yncg','grace','{"actor":"grace","at":1800000120,"body":{"after":{"value":1},"phase":"do","result":"done","step":0},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"step_done","run_id":"run_1mcc5w9606pb495yncg","seq":23}','ac7433d0501426d8b6e6f7951ba3bb6cf15e0425bf78ec63667eb2c84301e6ed','00b16d48bd5256c4a2ee2e3aba0f9909bc1105360074759da83d91091ccbcfea');
INSERT INTO "audit" VALUES(24,1800000120.0,'run_moved','inc_1mcc5w960kn45w50amc','run_1mcc5w9606pb495yncg','grace','{"actor":"grace","at":1800000120,"body":{"from":"running","to":"verifying"},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"run_moved","run_id":"run_1mcc5w9606pb495yncg","seq":24}','00b16d48bd5256c4a2ee2e3aba0f9909bc1105360074759da83d91091ccbcfea','9ede199a52c6a7d6b38755133ed07d3f85cd98b334d45dd138945622db3041f5');
INSERT INTO "audit" VALUES(25,1800000120.0,'incident_moved','inc_1mcc5w960kn45w50amc',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"from":"acting","reason":"scale-workers done; watching executor.queue_depth","to":"verifying"},"incident_id":"inc_1mcc5w960kn45w50amc","kind":"incident_moved","run_id":null,"seq":25}','9ede199a52c6a7d6b38755133ed07d3f85cd98b334d45dd138945622db3041f5','7817346cd8983ac2f8ad02a2a6f77901cbe120cb56239d3b90eb3aa51f5ff6dd');
INSERT INTO "audit" VALUES(26,1800000120.0,'alert_received','inc_1mcc5w960er8722dfp3',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"alertname":"ApiLatencyP95","fingerprint":"api.latency_p95/api/critical","meaning":"opens an incident","metric_id":"api.latency_p95","resource":"api","severity":"critical","source":"webhook","starts_at":1800000120,"status":"firing"},"incident_id":"inc_1mcc5w960er8722dfp3","kind":"alert_received","run_id":null,"seq":26}','7817346cd8983ac2f8ad02a2a6f77901cbe120cb56239d3b90eb3aa51f5ff6dd','bc817fd216c077c78dd71ba566b866adf4e339d250e962952e154fd9e4062c71');
INSERT INTO "audit" VALUES(27,1800000120.0,'incident_opened','inc_1mcc5w960er8722dfp3',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"band":"critical","catalog":"7a98d966090a13847ac21272da28a1943b92be1885c6e7c0e3265424f7fde40a","metric_id":"api.latency_p95","resource":"api"},"incident_id":"inc_1mcc5w960er8722dfp3","kind":"incident_opened","run_id":null,"seq":27}','bc817fd216c077c78dd71ba566b866adf4e339d250e962952e154fd9e4062c71','43585d262c0679dd97cbf6ea5d8c2352bc49eb452746c3a44f16f6f90be37ea5');
INSERT INTO "audit" VALUES(28,1800000120.0,'incident_moved','inc_1mcc5w960er8722dfp3',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"from":"open","reason":"its turn","to":"planning"},"incident_id":"inc_1mcc5w960er8722dfp3","kind":"incident_moved","run_id":null,"seq":28}','43585d262c0679dd97cbf6ea5d8c2352bc49eb452746c3a44f16f6f90be37ea5','67b4a19fb2297831c85c65b125413a98e2bf00f00f4b3abfda6e69d1bf6683d8');
INSERT INTO "audit" VALUES(29,1800000120.0,'decision','inc_1mcc5w960er8722dfp3','run_1mcc5w960vhjk7vcyzg','grace','{"actor":"grace","at":1800000120,"body":{"approvals_needed":1,"confidence":0,"detail":{"confidence_below_floor":"confidence 0.00 is below the floor 0.6 of strictness 0","evidence_absent":"Prometheus does not show what the alert says"},"digest":"f719bd936a94523b6c32a50858949ae0898789d15e6db20b644f1d9268e69e33","evidence":"absent","note":"0 of 3 measurements are critical or worse; the last is 340 ms","playbook":"scale-api-shard","reasons":["evidence_absent","confidence_below_floor"],"steps":[{"before":{"value":0},"desired":{"value":1},"driver":"fake","target":"api","verb":"scale"}],"target":"api","tier":"tier_2","verdict":"hold"},"incident_id":"inc_1mcc5w960er8722dfp3","kind":"decision","run_id":"run_1mcc5w960vhjk7vcyzg","seq":29}','67b4a19fb2297831c85c65b125413a98e2bf00f00f4b3abfda6e69d1bf6683d8','fcebb541703b0755508de7075c17313cae36a8c716e210e7513e7c14aae126ec');
INSERT INTO "audit" VALUES(30,1800000120.0,'approval_asked','inc_1mcc5w960er8722dfp3','run_1mcc5w960vhjk7vcyzg','grace','{"actor":"grace","at":1800000120,"body":{"approval":"app_1mcc5w9600cwp9zkp4q","digest":"f719bd936a94523b6c32a50858949ae0898789d15e6db20b644f1d9268e69e33","expires_at":1800001920,"needed":1,"tier":"tier_2"},"incident_id":"inc_1mcc5w960er8722dfp3","kind":"approval_asked","run_id":"run_1mcc5w960vhjk7vcyzg","seq":30}','fcebb541703b0755508de7075c17313cae36a8c716e210e7513e7c14aae126ec','4013e63d6c6f044072f82a32b24ed5f7ca5b84ad932f8e48bf02284b45381c52');
INSERT INTO "audit" VALUES(31,1800000120.0,'incident_moved','inc_1mcc5w960er8722dfp3',NULL,'grace','{"actor":"grace","at":1800000120,"body":{"from":"planning","reason":"scale-api-shard needs 1 approval(s): evidence_absent, confidence_below_floor","to":"waiting_approval"},"incident_id":"inc_1mcc5w960er8722dfp3","kind":"incident_moved","run_id":null,"seq":31}','4013e63d6c6f044072f82a32b24ed5f7ca5b84ad932f8e48bf02284b45381c52','9ea0abb53ccfb5f477efc15a8b0225f3ce9b56da627252d01eb65c80c14cbeba');
INSERT INTO "audit" VALUES(32,1800000120.0,'snapshot','inc_1mcc5w960er8722dfp3','run_1mcc5w960vhjk7vcyzg','grace','{"actor":"grace","at":1800000120,"body":{"avg":340,"bands":{"critical":0,"good":6,"warning":0},"count":6,"last":340,"max":340,"metric_id":"api.latency_p95","min":340,"moment":"before","p95":340,"resource":"api","unit":"ms","window_seconds":300},"incident_id":"inc_1mcc5w960er8722dfp3","kind":"snapshot","run_id":"run_1mcc5w960vhjk7vcyzg","seq":32}','9ea0abb53ccfb5f477efc15a8b0225f3ce9b56da627252d01eb65c80c14cbeba','f007ad44dbb7919e482cc6b817b22c162db3ab30670d23ab24542d0f66efd8f7');
CREATE TABLE holds (
	target TEXT NOT NULL, 
	until FLOAT NOT NULL, 
	"by" TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (target)
);
CREATE TABLE incidents (
	id TEXT NOT NULL, 
	metric_id TEXT NOT NULL, 
	resource TEXT NOT NULL, 
	category TEXT NOT NULL, 
	band TEXT NOT NULL, 
	opened_band TEXT NOT NULL, 
	state TEXT NOT NULL, 
	target TEXT, 
	opened_at FLOAT NOT NULL, 
	changed_at FLOAT NOT NULL, 
	closed_at FLOAT, 
	outcome TEXT, 
	wake_at FLOAT, 
	owner TEXT, 
	lease_until FLOAT DEFAULT '0' NOT NULL, 
	fence INTEGER DEFAULT '0' NOT NULL, 
	firing JSON NOT NULL, 
	labels JSON NOT NULL, 
	last_notice_at FLOAT NOT NULL, 
	absent_polls INTEGER DEFAULT '0' NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	verdict TEXT, 
	reasons JSON NOT NULL, 
	decided TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "incidents" VALUES('inc_1mcc5rm00pf35chb2wf','infra.cpu_utilization','api-1','infra','critical','critical','closed','api',1800000000.0,1800000120.0,1800000120.0,'healed',NULL,'test',0.0,7,'{"infra.cpu_utilization/api-1/critical": "critical"}','{"alertname": "InfraCpuUtilization", "metric_id": "infra.cpu_utilization", "resource": "api-1", "severity": "critical", "category": "infra", "grace": "true"}',1800000000.0,0,'healed by shift-load: the metric is 60 %','allow','["within_ceiling"]','');
INSERT INTO "incidents" VALUES('inc_1mcc5w960kn45w50amc','executor.queue_depth','workers','executor','critical','critical','verifying','workers',1800000120.0,1800000120.0,NULL,NULL,1800000150.0,'test',0.0,3,'{"executor.queue_depth/workers/critical": "critical"}','{"alertname": "ExecutorQueueDepth", "metric_id": "executor.queue_depth", "resource": "workers", "severity": "critical", "category": "executor", "grace": "true"}',1800000120.0,0,'scale-workers done; watching executor.queue_depth','allow','["within_ceiling"]','');
INSERT INTO "incidents" VALUES('inc_1mcc5w960er8722dfp3','api.latency_p95','api','api','critical','critical','waiting_approval','api',1800000120.0,1800000120.0,NULL,NULL,1800000150.0,'test',0.0,3,'{"api.latency_p95/api/critical": "critical"}','{"alertname": "ApiLatencyP95", "metric_id": "api.latency_p95", "resource": "api", "severity": "critical", "category": "api", "grace": "true"}',1800000120.0,0,'scale-api-shard needs 1 approval(s): evidence_absent, confidence_below_floor','hold','["evidence_absent", "confidence_below_floor"]','');
CREATE TABLE meta (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('version','4');
CREATE TABLE metrics_snapshots (
	id INTEGER NOT NULL, 
	incident_id TEXT, 
	run_id TEXT, 
	moment TEXT NOT NULL, 
	metric_id TEXT NOT NULL, 
	resource TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	body JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "metrics_snapshots" VALUES(1,'inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','before','infra.cpu_utilization','api-1',1800000000.0,'{"unit": "%", "window_seconds": 300.0, "count": 6, "min": 60.0, "max": 87.0, "avg": 73.5, "p95": 87.0, "last": 87.0, "bands": {"good": 3, "warning": 0, "critical": 3}}');
INSERT INTO "metrics_snapshots" VALUES(2,'inc_1mcc5rm00pf35chb2wf','run_1mcc5rm00926b80yzza','after','infra.cpu_utilization','api-1',1800000120.0,'{"unit": "%", "window_seconds": 300.0, "count": 4, "min": 60.0, "max": 87.0, "avg": 66.75, "p95": 87.0, "last": 60.0, "bands": {"good": 3, "warning": 0, "critical": 1}}');
INSERT INTO "metrics_snapshots" VALUES(3,'inc_1mcc5w960kn45w50amc','run_1mcc5w9606pb495yncg','before','executor.queue_depth','workers',1800000120.0,'{"unit": "tasks", "window_seconds": 300.0, "count": 3, "min": 77.0, "max": 77.0, "avg": 77.0, "p95": 77.0, "last": 77.0, "bands": {"good": 0, "warning": 0, "critical": 3}}');
INSERT INTO "metrics_snapshots" VALUES(4,'inc_1mcc5w960er8722dfp3','run_1mcc5w960vhjk7vcyzg','before','api.latency_p95','api',1800000120.0,'{"unit": "ms", "window_seconds": 300.0, "count": 6, "min": 340.0, "max": 340.0, "avg": 340.0, "p95": 340.0, "last": 340.0, "bands": {"good": 6, "warning": 0, "critical": 0}}');
CREATE TABLE quarantine (
	id INTEGER NOT NULL, 
	received_at FLOAT NOT NULL, 
	reason TEXT NOT NULL, 
	body BLOB NOT NULL, 
	size INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE runs (
	id TEXT NOT NULL, 
	incident_id TEXT, 
	playbook_id TEXT NOT NULL, 
	target TEXT NOT NULL, 
	"group" TEXT NOT NULL, 
	tier INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	active INTEGER DEFAULT '0' NOT NULL, 
	outcome TEXT, 
	verdict TEXT NOT NULL, 
	reasons JSON NOT NULL, 
	confidence FLOAT NOT NULL, 
	evidence TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	"plan" JSON NOT NULL, 
	"by" TEXT NOT NULL, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	acted_at FLOAT, 
	verify_until FLOAT, 
	ended_at FLOAT, 
	reason TEXT DEFAULT '' NOT NULL, 
	kept INTEGER DEFAULT '0' NOT NULL, 
	release_at FLOAT, 
	released_steps INTEGER DEFAULT '0' NOT NULL, owner TEXT, lease_until FLOAT NOT NULL DEFAULT '0', fence INTEGER NOT NULL DEFAULT '0', 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('run_1mcc5rm00926b80yzza','inc_1mcc5rm00pf35chb2wf','shift-load','edge','edge',2,'healed',0,'healed','allow','["within_ceiling"]',0.8,'confirmed','2c85eb94a8fbb8e529cd2fd75946c6a106dfc6ea190dba1be0ffa0aa291ffb49','[{"verb": "shift", "target": "edge", "driver": "fake", "before": {"value": 0}, "desired": {"value": 1}}]','grace',1800000000.0,1800000000.0,1800000000.0,1800000420.0,1800000120.0,'the metric is good again',1,1800003720.0,0,NULL,0.0,0);
INSERT INTO "runs" VALUES('run_1mcc5w9606pb495yncg','inc_1mcc5w960kn45w50amc','scale-workers','workers','workers',2,'verifying',1,NULL,'allow','["within_ceiling"]',0.8,'confirmed','46816abe67334244e036af4f5c75e678ff11c07095b7147b0a6278c388c888e6','[{"verb": "scale", "target": "workers", "driver": "fake", "before": {"value": 0}, "desired": {"value": 1}}]','grace',1800000120.0,1800000120.0,1800000120.0,1800000540.0,NULL,'',0,NULL,0,NULL,0.0,0);
INSERT INTO "runs" VALUES('run_1mcc5w960vhjk7vcyzg','inc_1mcc5w960er8722dfp3','scale-api-shard','api','api',2,'held',0,NULL,'hold','["evidence_absent", "confidence_below_floor"]',0.0,'absent','f719bd936a94523b6c32a50858949ae0898789d15e6db20b644f1d9268e69e33','[{"verb": "scale", "target": "api", "driver": "fake", "before": {"value": 0}, "desired": {"value": 1}}]','grace',1800000120.0,NULL,NULL,NULL,NULL,'',0,NULL,0,NULL,0.0,0);
CREATE TABLE settings (
	name TEXT NOT NULL, 
	value JSON NOT NULL, 
	"by" TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE steps (
	run_id TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	"index" INTEGER NOT NULL, 
	verb TEXT NOT NULL, 
	target TEXT NOT NULL, 
	driver TEXT NOT NULL, 
	"before" JSON NOT NULL, 
	desired JSON NOT NULL, 
	"after" JSON, 
	state TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	intended_at FLOAT NOT NULL, 
	ended_at FLOAT, 
	error TEXT, 
	PRIMARY KEY (run_id, phase, "index")
);
INSERT INTO "steps" VALUES('run_1mcc5rm00926b80yzza','do',0,'shift','edge','fake','{"value": 0}','{"value": 1}','{"value": 1}','done',1,1800000000.0,1800000000.0,NULL);
INSERT INTO "steps" VALUES('run_1mcc5w9606pb495yncg','do',0,'scale','workers','fake','{"value": 0}','{"value": 1}','{"value": 1}','done',1,1800000120.0,1800000120.0,NULL);
CREATE TABLE tokens (
	name TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	role TEXT NOT NULL, 
	created_at FLOAT NOT NULL, 
	revoked_at FLOAT, target_groups JSON NOT NULL DEFAULT '[]', 
	PRIMARY KEY (name), 
	UNIQUE (hash)
);
CREATE TABLE told (
	occasion TEXT NOT NULL, 
	incident_id TEXT, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (occasion)
);
CREATE TABLE track_records (
	playbook_id TEXT NOT NULL, 
	healed INTEGER NOT NULL, 
	others INTEGER NOT NULL, 
	PRIMARY KEY (playbook_id)
);
CREATE INDEX alerts_unhandled ON alerts (id) WHERE handled = 0;
CREATE INDEX ix_alerts_fingerprint ON alerts (fingerprint);
CREATE INDEX ix_incidents_state ON incidents (state);
CREATE UNIQUE INDEX incidents_open ON incidents (metric_id, resource) WHERE closed_at IS NULL;
CREATE INDEX incidents_wake ON incidents (wake_at) WHERE closed_at IS NULL;
CREATE INDEX runs_started ON runs (started_at);
CREATE INDEX ix_runs_incident_id ON runs (incident_id);
CREATE INDEX ix_runs_state ON runs (state);
CREATE UNIQUE INDEX runs_busy ON runs (target) WHERE active = 1;
CREATE INDEX ix_approvals_status ON approvals (status);
CREATE INDEX ix_approvals_run_id ON approvals (run_id);
CREATE INDEX ix_metrics_snapshots_incident_id ON metrics_snapshots (incident_id);
CREATE INDEX ix_audit_incident_id ON audit (incident_id);
CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit
           BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
           BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_appends_only BEFORE INSERT ON audit
           WHEN NEW.seq <> (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit)
           BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE INDEX runs_release ON runs (release_at) WHERE kept = 1;
CREATE INDEX runs_alone ON runs (state) WHERE incident_id IS NULL;
CREATE INDEX ix_told_incident_id ON told (incident_id);
CREATE INDEX incidents_healed ON incidents (metric_id, resource, closed_at) WHERE outcome = 'healed';
COMMIT;
