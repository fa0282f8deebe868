// Package schedules runs pipelines that meet in every order in which their API
// requests can come: the real code, between the steps of a Kratix and a Job controller
// that are stand-ins, with a crash at each point.
//
// A pipeline is a function of what the platform answers. So its code runs once for each
// sequence of answers, and what it asks next is kept in a tree of such sequences. The
// search goes over states of the platform and of places in these trees. States that were
// reached before are not searched again, and the number of ways through them is counted.
package schedules
