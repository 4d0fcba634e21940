// Package host says on what a measurement was made and what else the machine did meanwhile: processor, kernel, file system, versions; and
// between two samples of /proc how much processor time was used, how much the hypervisor stole, and how many bytes reached each disk.
//
// Everything is read from /proc and /sys, nothing is changed. What cannot be read stays empty: a description is never a reason to fail.
package host
