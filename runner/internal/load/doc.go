// Package load generates the load of a scenario: a Generator paces requests on a schedule, and a Client
// makes each of them with the attempts that its policy allows, on connections of its own pool. Requests
// that the generator itself could not send, or not on time, are told apart from failures of the system.
package load
