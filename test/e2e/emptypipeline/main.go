// Command emptypipeline is a pipeline that does next to nothing: it emits one
// ConfigMap for each cluster. How long Kratix takes for it is what Baleen's
// pipelines are measured against.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Getenv("KRATIX_OBJECT_NAMESPACE"), os.Getenv("KRATIX_OBJECT_NAME")); err != nil {
		fmt.Fprintln(os.Stderr, "empty-pipeline:", err)
		os.Exit(1)
	}
}

func run(namespace, name string) error {
	selectors := ""
	for _, cluster := range []string{"eu-1", "us-1"} {
		dir := filepath.Join("/kratix/output", cluster)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		document := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %q, namespace: %q}\n", name, namespace)
		if err := os.WriteFile(filepath.Join(dir, "configmap.yaml"), []byte(document), 0o644); err != nil {
			return err
		}
		selectors += fmt.Sprintf("- {directory: %q, matchLabels: {baleen.dev/destination: %q}}\n", cluster, cluster)
	}
	return os.WriteFile("/kratix/metadata/destination-selectors.yaml", []byte(selectors), 0o644)
}
