// Package effects reads what became of the requests of a load: the list of effects that a service offers over HTTP.
// A Ledger attributes each effect of the list to this scenario, to what existed before, or to others. A Wait reads
// it until the effects have settled, and says why some may be missing although they are not lost.
package effects
