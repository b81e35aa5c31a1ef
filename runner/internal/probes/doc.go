// Package probes asks probes at an interval: a path of a service, a port, a command, or a metric.
package probes
