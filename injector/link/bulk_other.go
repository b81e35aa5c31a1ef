//go:build !linux

package link

import "sync/atomic"

// bulk is Linux's; elsewhere everything goes the plain way.
func (*conn) bulk(_, _ *socket, _ *queue, _ *atomic.Int64) (srcErr, dstErr error) { return nil, nil }
