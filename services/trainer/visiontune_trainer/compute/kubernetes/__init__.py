"""Workers as pods: one Indexed Job an attempt, and a headless Service where several pods have to meet.

manifests, merge    what is asked of the cluster        pure
accelerators        the operator's names for its nodes  pure
seeing, pending     what the cluster's objects mean     pure
pod_tokens          whether a pod is who it says        pure
api, watching       the API server: calls, caches       effects
backend             implements `ports.Backend`          effects
"""
