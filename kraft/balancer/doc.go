// Package balancer decides which partitions should move to which broker. It is pure: no clock, no I/O, no goroutine; the same rounds give the same plans.
//
//	loads per partition, brokers ──► Balancer.Round ──► Plan: moves, and why (or why not)
//	                                   │ 1. who is slow (slow.go)
//	                                   │ 2. what leaves draining and slow brokers (goal.go, evacuate)
//	                                   │ 3. each goal in the order of priority (goal.go, reach)
//	                                   └─ NextWave: which moves may be under way together (waves.go)
//
// Who carries the plans out, and where loads come from, is the business of package kraft.
//
// # Who takes part
//
// A broker takes part unless it is fenced, draining, excluded, slow, or stale (its figures are too old or too few). Only brokers that take part are compared;
// partitions go to no other. A fenced, an excluded or a stale broker keeps what it has. Partitions of excluded topics, those that are being moved, and those
// that a goal has moved in the last three rounds stay where they are and count where they are; a draining broker loses them all the same, except those
// that are being moved.
//
// # Goals
//
// Let use(b) be what broker b uses of the goal's resource, w(b) its weight (1, but the capacity for CPU), and avg = Σ use / Σ w over the brokers that take
// part: moves do not change it.
//
//	distribution goal    band(b) = [ w·avg·(1−d), w·max(avg·(1+d), threshold) ], without a lower end while avg <= threshold
//	capacity goal        band(b) = [ −∞, threshold·capacity(b) ]
//	imbalance            max over b of |use(b)/w(b) − avg| / max(avg, threshold)     (capacity: how far beyond the limit, as a share of it)
//
// A goal acts when a broker is outside of its band with d = deviation: at once if the imbalance is more than twice the deviation, otherwise in the third such round in
// a row. Then each broker that is outside is brought to the band with d/2, by moving one partition, or exchanging two, at a time. Of the possible steps with the first
// broker from the far end of the scale that offers any, the one is made with the largest
//
//	gain = decrease of Ψ(d/2) − ½ · Σ over goals of lower priority of their increase,    Ψ(d) = Σ over b of (distance of use(b) from band(b) / scale)²
//
// provided that no goal of a higher priority gets worse in Ψ(¾d). What all steps of a goal move together has to be worth it (trivial change ratio).
//
// # Why it comes to rest
//
// A step of goal g made for a broker outside of its band lowers Ψg(¾d) by at least 1e-6 and raises none of the goals before it, so under a constant load the
// vector (Ψ1, Ψ2, …) falls in lexicographic order with every round that has moves, and that can happen only so often. Against loads that waver there is the distance
// between d (which makes a goal act) and d/2 (which it aims at), the wait for three rounds, the three rounds for which a moved partition stays, and the rest: two rounds after its
// moves a goal looks at what they brought. If brokers are still outside, and the imbalance has not fallen by half of what was promised, or little had been promised,
// it rests for 2, 4, 8 … 64 rounds. Other brokers or a load that has changed by a quarter end the rest.
//
// # Slow brokers
//
// See SlowSettings: some bad rounds in a row, compared with the other brokers, make a broker slow, and what is in use on it moves away. It is trusted again after a time
// that doubles with each relapse. When most brokers do badly none is called slow.
//
// # Seed system
//
// Names, defaults and the formulas of the two network goals are AutoMQ's. Beyond it: the other goals, exchanges, explanations, the latency rule for slow brokers,
// draining, and the proof of rest.
package balancer
