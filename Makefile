# RingMQ. `make` lists the targets.

GO    ?= go
CACHE ?= $(HOME)/.cache/ringmq
RUN   ?= .run
export RINGMQ_CACHE := $(CACHE)

# giouring reaches into the runtime by linkname, which the linker refuses by default. This is the one place that knows.
LDFLAGS := -checklinkname=0
BUILD   := -trimpath -buildvcs=auto -ldflags=$(LDFLAGS)
# Assertions are on in every test.
TEST    := -ldflags=$(LDFLAGS) -tags=invariants

MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c
MINIO         := $(CACHE)/bin/minio
export RINGMQ_MINIO ?= $(MINIO)
export GO MINIO_VERSION

# What `make test PKG=./wal/...` and friends work on.
PKG         ?= ./...
TESTTIMEOUT ?= 15m
FUZZTIME    ?= 5s
WAL_HISTORIES ?= 100000
WAL_SEED      ?= 0
SIM_SEEDS     ?= 10000
MUTATION_SEEDS ?= 4000
SOAK_ROUNDS ?= 30
CHECKER_FOR ?= 10m
# Where bench-side and bench-full write; a new directory every time.
BENCH_STAMP := $(shell date -u +%Y%m%d-%H%M%S)
BENCH_OUT   ?= $(RUN)/bench/$(BENCH_STAMP)
ARGS        ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-z-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/ringmq and the names that users of Kafka and AutoMQ type
	$(GO) build $(BUILD) -o bin/ringmq ./tools/ringmq
	@ln -sf ringmq bin/kafka-server-start.sh
	@ln -sf ringmq bin/automq-kafka-admin.sh

.PHONY: run
run: build ## build, and run one node that needs nothing else; data in .run/ (ARGS="--override k=v" for more)
	@mkdir -p $(RUN)
	exec bin/ringmq server start --override log.dirs=$(abspath $(RUN))/node $(ARGS)

.PHONY: run-minio
run-minio: build minio ## the same, with a MinIO beside it; data in .run/
	@exec tools/scripts/run-minio.sh $(abspath $(RUN)) $(ARGS)

.PHONY: minio
minio: ## build the pinned MinIO into the cache, once
	@tools/scripts/need-minio.sh $(MINIO)

.PHONY: kcat
kcat: ## install kcat when it is missing
	@tools/scripts/need-package.sh kcat kcat

.PHONY: lab-tools
lab-tools: ## install what hosts on one machine need (ip, nft) when it is missing; only root can use them
	@[ "$$(id -u)" != 0 ] || tools/scripts/need-package.sh ip iproute2
	@[ "$$(id -u)" != 0 ] || tools/scripts/need-package.sh nft nftables

.PHONY: java
java: ## fetch Kafka's Java tools into the cache, once
	@tools/scripts/need-java.sh

.PHONY: test
test: build vet minio kcat java lab-tools ## all tests with assertions, installing what they need
	RINGMQ_BINARY=$(abspath bin/ringmq) $(GO) test $(TEST) -timeout=$(TESTTIMEOUT) $(PKG)

.PHONY: test-clients
test-clients: build kcat java ## all clients, Streams, Connect, MirrorMaker and Kafka's tools against a node, at pinned versions that are installed into the cache
	RINGMQ_CLIENTS=all RINGMQ_BINARY=$(abspath bin/ringmq) $(GO) test $(TEST) -count=1 -timeout=1h -v ./tools/clients $(ARGS)

.PHONY: test-short
test-short: ## the tests that take seconds and need only Go
	$(GO) test $(TEST) -short -timeout=5m $(PKG)

.PHONY: race
race: minio ## the short tests under the race detector
	$(GO) test $(TEST) -race -short -timeout=20m $(PKG)

.PHONY: vet
vet:
	$(GO) vet $(PKG)

.PHONY: lint
lint: vet ## go vet and the project's own rules: imports, formatting, package comments
	$(GO) test -count=1 ./tools/lint

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (5s)
	@tools/scripts/fuzz.sh $(FUZZTIME) $(PKG) -- $(TEST)

.PHONY: soak
soak: build minio java ## kill -9 under load SOAK_ROUNDS (30) times on a directory, then on MinIO; then the long forms of bench/resilience
	$(GO) run -ldflags=$(LDFLAGS) ./bench/crash -binary bin/ringmq -kills $(SOAK_ROUNDS) $(ARGS)
	$(GO) run -ldflags=$(LDFLAGS) ./bench/crash -binary bin/ringmq -kills $(SOAK_ROUNDS) -minio $(ARGS)
	RINGMQ_SOAK=1 RINGMQ_BINARY=$(abspath bin/ringmq) $(GO) test $(TEST) -count=1 -timeout=1h -run=Soak -skip=SoakCluster -v ./bench/resilience

.PHONY: soak-cluster
soak-cluster: build minio lab-tools ## verified load through every fault of a cluster's nodes and network, again and again; over an hour, prints the gaps as JSON lines
	RINGMQ_SOAK=1 RINGMQ_BINARY=$(abspath bin/ringmq) $(GO) test $(TEST) -count=1 -timeout=4h -run=SoakCluster -v ./bench/resilience $(ARGS)

.PHONY: soak-checker
soak-checker: build ## random clients on one node and on three that are killed and paused, with partitions that move; what they saw is judged. CHECKER_FOR (10m) each, seed CHECKER_SEED (the time)
	$(GO) run -ldflags=$(LDFLAGS) ./bench/workload -binary bin/ringmq -nodes 1 -for $(CHECKER_FOR) $(if $(CHECKER_SEED),-seed $(CHECKER_SEED)) $(ARGS)
	$(GO) run -ldflags=$(LDFLAGS) ./bench/workload -binary bin/ringmq -nodes 3 -for $(CHECKER_FOR) $(if $(CHECKER_SEED),-seed $(CHECKER_SEED)) $(ARGS)

.PHONY: soak-wal
soak-wal: ## WAL_HISTORIES (100000) random histories of honest and as many of lying devices, from seed WAL_SEED on, and the long exhaustive tests
	RINGMQ_SOAK=1 $(GO) test $(TEST) -count=1 -timeout=6h -v -run='Histories|EveryCrash|AtRest|CrashModel' ./wal -histories=$(WAL_HISTORIES) -history.base=$(WAL_SEED) -crash.seeds=1000

.PHONY: soak-sim
soak-sim: ## SIM_SEEDS (10000) simulated clusters of controllers and brokers with crashes, cuts, slow disks and changes of the quorum
	RINGMQ_SOAK=1 $(GO) test $(TEST) -count=1 -timeout=12h -v -run='^TestSoakSimulation$$' ./kraft -sim.seeds=$(SIM_SEEDS)

.PHONY: sim-mutations
sim-mutations: ## breaks the quorum's code on purpose, in copies, and runs up to MUTATION_SEEDS (4000) simulated clusters on each: which seed notices what
	tools/scripts/mutations.sh $(MUTATION_SEEDS)

.PHONY: bench-tools
bench-tools:
	@mkdir -p bin/bench
	$(GO) build $(BUILD) -o bin/bench/ ./bench/probe ./bench/load ./bench/floor ./bench/plot ./tools/ringmqbench

.PHONY: bench
bench: bench-side ## RingMQ beside Apache Kafka, short (under ten minutes); tables and plots in BENCH_OUT (.run/bench/...)

.PHONY: bench-side
bench-side: build java bench-tools ## the same; ARGS="-targets ringmq,kafka -cases probe -rounds 3" chooses
	bin/bench/ringmqbench -profile short -rounds 2 -work $(RUN)/bench/work -out $(BENCH_OUT) $(ARGS)
	bin/bench/plot -out $(BENCH_OUT) $(BENCH_OUT)/side.json

.PHONY: bench-full
bench-full: build java minio bench-tools ## the long one: MinIO with uploads and compaction, a sweep of rates, 10,000 partitions on Kafka too; over an hour
	bin/bench/ringmqbench -profile full -rounds 3 -targets ringmq,ringmq-loop,ringmq-minio,kafka,kafka-synced -work $(RUN)/bench/work -out $(BENCH_OUT) $(ARGS)
	bin/bench/plot -out $(BENCH_OUT) $(BENCH_OUT)/side.json

.PHONY: bench-micro
bench-micro: ## micro benchmarks; PKG= and BENCH= choose, output is benchstat's
	$(GO) test $(TEST) -run='^$$' -bench='$(or $(BENCH),.)' -benchmem -timeout=1h $(PKG)

.PHONY: bench-balance
bench-balance: build minio ## how long it takes until two brokers that are added to two under load have their share, and until one has drained
	RINGMQ_SOAK=1 RINGMQ_BINARY=$(abspath bin/ringmq) $(GO) test $(TEST) -count=1 -timeout=20m -run=ScaleOutAndIn -v ./bench/resilience

.PHONY: clean
clean: ## remove bin/ and .run/; the cache stays
	rm -rf bin $(RUN)
