// Next.js App Router: app/auth/verify/route.ts
export async function GET(request: Request) {
  const url = new URL(request.url);
  const token = url.searchParams.get('token');
  const appId = url.searchParams.get('appId');

  // Redirect for verification
  return Response.redirect(
    `https://api.example.com/v1/apps/${appId}/auth/verify?token=${token}&redirect=true`
  );
}
