// Package sticky shares the tasks of a topology out among the members of a streams group, as the assignor "sticky" of Kafka's coordinator
// does: every task is active at one member, copies of tasks with state stand by at other processes, members have equally many tasks, and
// tasks stay where they are as far as that allows.
//
// Order of the decisions: a task stays active where it is; else it becomes active where it stands by; else it goes to the process with the
// fewest tasks for each of its members, and there to the member with the fewest. Then the copies, the same way. Kafka 4.3 has no other
// assignor, assigns no warm-up tasks, and looks neither at racks nor at offsets; so does this one.
package sticky
