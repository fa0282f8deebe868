// Command emptypipeline is a pipeline that does next to nothing: it emits one
// ConfigMap. How long Kratix takes for it is what Baleen's pipelines are measured
// against.
package main

import (
	"fmt"
	"os"
)

func main() {
	name, namespace := os.Getenv("KRATIX_OBJECT_NAME"), os.Getenv("KRATIX_OBJECT_NAMESPACE")
	document := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %q, namespace: %q}\n", name, namespace)
	if err := os.WriteFile("/kratix/output/configmap.yaml", []byte(document), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "empty-pipeline:", err)
		os.Exit(1)
	}
}
