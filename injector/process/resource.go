package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// deleteTimeout is how long a server may take to delete a resource and to confirm that.
const deleteTimeout = 5 * time.Second

// isURL reports whether what was recorded is the URL of a resource, and not a path.
func isURL(recorded string) bool {
	return strings.HasPrefix(recorded, "http://") || strings.HasPrefix(recorded, "https://")
}

// deleteResource deletes a resource of an HTTP API that its server keeps in memory, such as a toxic of Toxiproxy, and
// verifies that it is gone.
func deleteResource(url string) (undone, proved string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
	defer cancel()
	gone := fmt.Sprintf("%s does not exist", url)
	switch status, err := ask(ctx, http.MethodDelete, url); {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "", fmt.Sprintf("the server of %s does not run any more, and kept it in memory", url), nil
	case err != nil:
		return "", "", fmt.Errorf("delete %s: %w", url, err)
	case status == http.StatusNotFound:
		return "", gone, nil
	case status >= http.StatusMultipleChoices:
		return "", "", fmt.Errorf("delete %s: the answer is status %d", url, status)
	}
	switch status, err := ask(ctx, http.MethodGet, url); {
	case err != nil:
		return "", "", fmt.Errorf("verify that %s was deleted: %w", url, err)
	case status != http.StatusNotFound:
		return "", "", fmt.Errorf("verify that %s was deleted: the answer is status %d, not 404", url, status)
	}
	return "deleted " + url, gone, nil
}

// ask sends a request and returns the status of the answer. It does not follow redirects.
func ask(ctx context.Context, method, url string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", "firedrill") // Toxiproxy refuses those of browsers
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
