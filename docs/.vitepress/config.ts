import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"

import { defineConfig } from "vitepress"

const docs = join(import.meta.dirname, "..")

/** The pages of a folder, in the order of their names. */
const pages = (folder: string) =>
  existsSync(join(docs, folder))
    ? readdirSync(join(docs, folder))
        .filter((file) => file.endsWith(".md") && file !== "index.md")
        .map((file) => file.slice(0, -".md".length))
        .toSorted()
    : []

const sentence = (slug: string) => {
  const words = slug.replace(/^\d+-/, "").replaceAll("-", " ")
  return words.charAt(0).toUpperCase() + words.slice(1)
}

const api = (existsSync(join(docs, "api")) ? readdirSync(join(docs, "api"), { withFileTypes: true }) : [])
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => ({
    text: name,
    collapsed: true,
    items: pages(`api/${name}/src`).map((page) => ({ text: page, link: `/api/${name}/src/${page}` }))
  }))

export default defineConfig({
  title: "NexoBot Recovery",
  description: "Composable recovery primitives for Node.js: detect, diagnose, heal, and prove that it healed",
  cleanUrls: true,
  themeConfig: {
    search: { provider: "local" },
    nav: [
      { text: "Guide", link: "/guide/getting-started" },
      { text: "Policies", link: "/policies/" },
      { text: "Probes", link: "/probes/" },
      { text: "Supervisor", link: "/supervisor/" },
      { text: "API", link: "/api/" },
      { text: "Decisions", link: `/decisions/${pages("decisions")[0] ?? ""}` }
    ],
    sidebar: [
      {
        text: "Guide",
        items: ["getting-started", "runbooks", "architecture"].map((page) => ({
          text: sentence(page),
          link: `/guide/${page}`
        }))
      },
      {
        text: "Policies",
        link: "/policies/",
        items: pages("policies").map((page) => ({ text: sentence(page), link: `/policies/${page}` }))
      },
      {
        text: "Probes",
        link: "/probes/",
        items: pages("probes").map((page) => ({ text: sentence(page), link: `/probes/${page}` }))
      },
      {
        text: "Supervisor",
        link: "/supervisor/",
        items: pages("supervisor").map((page) => ({ text: sentence(page), link: `/supervisor/${page}` }))
      },
      {
        text: "Decisions",
        items: pages("decisions").map((page) => ({ text: sentence(page), link: `/decisions/${page}` }))
      },
      { text: "API", items: api }
    ]
  }
})
