/** Which page answers which address. Each page is its own file, loaded when it is first visited. */
import { createBrowserRouter, Navigate } from "react-router";
import { Shell } from "./shell/Shell";
import { RouteFailure, UnknownPage } from "./shell/RouteFailure";

export const router = createBrowserRouter([
  {
    element: <Shell />,
    hydrateFallbackElement: <></>,
    children: [
      {
        // A page that fails leaves the frame around it standing.
        errorElement: <RouteFailure />,
        children: [
          { index: true, element: <Navigate to="/datasets" replace /> },
          { path: "datasets", lazy: () => import("./pages/datasets/DatasetsPage") },
          { path: "datasets/import", lazy: () => import("./pages/datasets/ImportPage") },
          { path: "datasets/:dataset", lazy: () => import("./pages/datasets/DatasetPage") },
          {
            path: "datasets/:dataset/imports/:operation",
            lazy: () => import("./pages/datasets/OperationPage"),
          },
          { path: "datasets/:dataset/exports/:operation", lazy: () => import("./pages/datasets/ExportPage") },
          { path: "datasets/:dataset/reports/:report", lazy: () => import("./pages/datasets/ReportPage") },
          { path: "datasets/:dataset/versions/:version", lazy: () => import("./pages/version/VersionPage") },
          { path: "jobs", lazy: () => import("./pages/jobs/JobsPage") },
          { path: "jobs/new", lazy: () => import("./pages/jobs/NewJobPage") },
          { path: "jobs/compare", lazy: () => import("./pages/jobs/ComparePage") },
          { path: "jobs/:job", lazy: () => import("./pages/job/JobPage") },
          { path: "models", lazy: () => import("./pages/models/ModelsPage") },
          { path: "models/:model", lazy: () => import("./pages/models/ModelPage") },
          { path: "storage", lazy: () => import("./pages/storage/StoragePage") },
          { path: "docs", lazy: () => import("./pages/docs/DocsPage") },
          { path: "*", element: <UnknownPage /> },
        ],
      },
    ],
  },
]);
